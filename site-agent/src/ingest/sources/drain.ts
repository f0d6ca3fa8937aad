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
/** While series wait for the rest of them. */
const LOOK_EVERY_MS = 1000;

export interface DrainOptions {
  readonly signal: AbortSignal;
  /** Fires when nothing more will arrive: what waits is read, then the draining ends. */
  readonly ending: AbortSignal;
  /** After each file, and when a batch has left the spool. */
  readonly onTaken: () => void;
  /** Under a plan for volumes, from the last image of a series until it is put together. */
  readonly quietMs: number;
}

/**
 * Reads objects into the cache as they arrive. Those that are slices of volumes lie in the spool until their series has ended.
 * @throws the signal's reason; disk.full
 */
export async function drain(spool: Spool, intake: CacheIntake, options: DrainOptions): Promise<void> {
  const { signal, ending } = options;
  const awake = AbortSignal.any([signal, ending]);
  /** Paths of slices that were looked at and wait. */
  const held = new Set<string>();
  for (;;) {
    signal.throwIfAborted();
    const fresh = spool.count - held.size;
    if (spool.count === 0) {
      if (ending.aborted) return;
      await spool.arrival(IDLE_MS, awake);
      continue;
    }
    if (!ending.aborted) {
      if (fresh === 0) await spool.arrival(LOOK_EVERY_MS, awake);
      else if (fresh < FEW) await gather(spool, held, awake);
    }
    await drainBatch(spool, intake, held, options);
  }
}

async function drainBatch(
  spool: Spool,
  intake: CacheIntake,
  held: Set<string>,
  { signal, ending, onTaken, quietMs }: DrainOptions,
): Promise<void> {
  const batch = spool.next(BATCH, held);
  const isLast = ending.aborted && batch.length + held.size === spool.count;
  for (const { path } of batch) held.add(path);
  const settled: FoundFile[] = [];
  await intake.take(batch, {
    signal,
    quietMs: isLast ? 0 : quietMs,
    onTaken: (file) => {
      settled.push(file);
      onTaken();
    },
  });
  if (settled.length === 0) return;
  // In this order: a crash between two of them reads the files once more and finds them cached.
  await intake.save();
  await intake.record();
  await spool.remove(settled);
  for (const { path } of settled) held.delete(path);
  onTaken();
}

async function gather(spool: Spool, held: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  const until = performance.now() + GATHER_MS;
  const fresh = (): number => spool.count - held.size;
  for (let left = GATHER_MS; left > 0 && fresh() < FEW; left = until - performance.now()) {
    if (signal.aborted) return;
    await spool.arrival(left, signal);
  }
}
