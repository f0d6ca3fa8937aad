/** Whatever brings images over the network runs beside this: objects into the spool, from there into the cache. */
import { CacheIntake, QUIET_MS, type CacheIntakeOptions } from "../cache-intake.ts";
import { summaryOf, type IntakeSummary } from "../ingest.ts";
import { drain } from "./drain.ts";
import { Spool, type SpoolLimits } from "./spool.ts";

export interface ReceiveOptions extends CacheIntakeOptions {
  /** HMAC of what the images come from. */
  readonly sourceKey: string;
  readonly spoolDir: string;
  readonly limits?: SpoolLimits;
  /** Under a plan for volumes: a series has ended when nothing of it came for so long. */
  readonly quietMs?: number;
  readonly onProgress: (progress: ReceiveProgress) => void;
  /** Ends everything at once; what was acknowledged is kept. */
  readonly signal: AbortSignal;
}

export interface ReceiveProgress {
  /** Distinct images of this source so far, by all runs. */
  readonly files: number;
  readonly used: number;
  readonly quarantined: number;
  /** Acknowledged and not in the cache yet. */
  readonly waiting: number;
}

/**
 * Brings objects in until `work` has ended and all that it put into the spool, or an earlier run left there, is read.
 * @returns the source's counts, or null if nothing ever came from it
 * @throws what `work` throws, once what had arrived is read; disk.full, config.invalid (another image size)
 */
export async function receive(
  options: ReceiveOptions,
  work: (spool: Spool, signal: AbortSignal) => Promise<void>,
): Promise<IntakeSummary | null> {
  const { sourceKey, spoolDir, limits, quietMs = QUIET_MS, signal, onProgress } = options;
  const intake = await CacheIntake.open(options, { kind: "received", key: sourceKey });
  try {
    const spool = await Spool.open(spoolDir, limits);
    const ending = new AbortController();
    const broken = new AbortController();
    const { tally } = intake;
    const onTaken = (): void => {
      const { files, used } = tally;
      onProgress({ files, used, quarantined: files - used, waiting: spool.count });
    };
    const draining = drain(spool, intake, { signal, ending: ending.signal, onTaken, quietMs });
    // Without a way into the cache nothing more is fetched.
    draining.catch((error: unknown) => {
      broken.abort(error);
    });
    try {
      await work(spool, AbortSignal.any([signal, broken.signal]));
    } finally {
      ending.abort();
      await draining;
    }
    return tally.files === 0 ? null : summaryOf(await intake.record());
  } finally {
    await intake.close();
  }
}
