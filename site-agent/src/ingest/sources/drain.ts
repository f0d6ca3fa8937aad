/** From the spool into the cache: what is safe there is deleted here. */
import type { CacheIntake } from "../cache-intake.ts";
import type { FoundFile } from "../folder.ts";
import type { Spool } from "./spool.ts";

/** Files that enter the cache with one commit, at most. */
const BATCH = 256;
/** A commit costs the same for one file as for many: few files wait for others this long. */
const GATHER_MS = 500;
const FEW = 64;
const IDLE_MS = 60_000;

export interface DrainOptions {
  readonly signal: AbortSignal;
  /** Fires when nothing more will arrive: what waits is read, then the draining ends. */
  readonly ending: AbortSignal;
  /** After each file, and when a batch has left the spool. */
  readonly onTaken: () => void;
}

/**
 * Reads objects into the cache as they arrive.
 * @throws the signal's reason; disk.full
 */
export async function drain(spool: Spool, intake: CacheIntake, options: DrainOptions): Promise<void> {
  const { signal, ending, onTaken } = options;
  const awake = AbortSignal.any([signal, ending]);
  for (;;) {
    signal.throwIfAborted();
    if (spool.count === 0) {
      if (ending.aborted) return;
      await spool.arrival(IDLE_MS, awake);
      continue;
    }
    if (spool.count < FEW && !ending.aborted) await gather(spool, awake);
    await drainBatch(spool, intake, spool.next(BATCH), { signal, onTaken });
  }
}

async function drainBatch(
  spool: Spool,
  intake: CacheIntake,
  batch: readonly FoundFile[],
  options: Pick<DrainOptions, "signal" | "onTaken">,
): Promise<void> {
  await intake.take(batch, options);
  // In this order: a crash between two of them reads the files once more and finds them cached.
  await intake.save();
  await intake.record();
  await spool.remove(batch);
  options.onTaken();
}

async function gather(spool: Spool, signal: AbortSignal): Promise<void> {
  const until = performance.now() + GATHER_MS;
  for (let left = GATHER_MS; left > 0 && spool.count < FEW; left = until - performance.now()) {
    if (signal.aborted) return;
    await spool.arrival(left, signal);
  }
}
