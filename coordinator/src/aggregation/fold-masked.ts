/**
 * The sum of masked updates, unmasked, and the next checkpoint out of it. Memory is two vectors, however many sites there
 * are: the sum, and the mean that it gives.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { evaluationOfSums } from "@consilium/shared/evaluation/extras";
import { healthOfMeans } from "@consilium/shared/health/extras";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { RoundTotals } from "@consilium/shared/protocol/round";
import { openSum, type Aggregate } from "@consilium/shared/secagg/coordinator/sum";
import type { Unmasking } from "@consilium/shared/secagg/coordinator/unmask";
import type { TailTotals } from "@consilium/shared/secagg/decode";
import type { Blobs } from "../blobs/blobs.ts";
import { readHashed } from "../blobs/hashed.ts";
import type { ArrivedSum } from "./arrived-sum.ts";
import { readCheckpointHead } from "./checkpoint-stream.ts";
import { addMasksInThreads } from "./mask-threads.ts";
import { addFrame, type MaskedTerms } from "./masked-frame.ts";
import { writeNext, type NextJob, type NextModel } from "./next-checkpoint.ts";

/** All that it takes to open a sum, whatever it is of. */
export interface MaskedSumJob extends MaskedTerms {
  /** The survivors' frames, by site. */
  readonly frames: readonly { readonly site: SiteId; readonly sha256: Sha256 }[];
  readonly unmasking: Unmasking;
}

export interface MaskedFoldJob extends MaskedSumJob, NextJob {}

export interface MaskedFold extends NextModel {
  readonly totals: RoundTotals;
}

/**
 * @throws secagg.garbled if the sum is not one that these sites can have produced
 * @throws frame.*, secagg.other-attempt, naming the site; hash.mismatch if a vector has changed on the disk; then nothing
 *   was written
 */
export async function foldMaskedRound(
  job: MaskedFoldJob,
  blobs: Blobs,
  arrived: ArrivedSum,
): Promise<MaskedFold> {
  const head = await readCheckpointHead(blobs.read(job.base));
  const { mean, ...totals } = await openMasked(job, blobs, arrived);
  const told = toRoundTotals(totals);
  const next = await writeNext(job, blobs, head, mean);
  return { ...next, totals: told };
}

/**
 * What is beside the updates in the sum; there need not be any.
 * @throws secagg.garbled; frame.*, secagg.other-attempt, naming the site
 */
export async function sumMasked(job: MaskedSumJob, blobs: Blobs, arrived: ArrivedSum): Promise<TailTotals> {
  const { examples, clipped, extras } = await openMasked(job, blobs, arrived);
  return { examples, clipped, extras };
}

async function openMasked(job: MaskedSumJob, blobs: Blobs, arrived: ArrivedSum): Promise<Aggregate> {
  const { layout, unmasking, frames } = job;
  const { vector, names } = arrived.take(
    job,
    frames.map(({ sha256 }) => sha256),
  );
  for (const { site, sha256 } of frames) {
    if (names.has(sha256)) continue;
    // Nothing in a masked vector tells that a bit of it has changed; in the sum it would be a weight somewhere else.
    await addFrame(job, vector, readHashed(blobs, sha256, site), [site]);
  }
  await addMasksInThreads(layout, unmasking.removals, vector.buffer);
  return openSum(layout, { ...unmasking, removals: [] }, vector);
}

/** @throws secagg.garbled */
function toRoundTotals({ examples, clipped, extras }: TailTotals): RoundTotals {
  const first = (name: string): number => extras[name]?.[0] ?? NaN;
  const health = healthOfMeans(extras);
  const evaluation = evaluationOfSums(extras);
  const heldOutSites = extras["metric:heldOutSites"]?.[0] ?? 0;
  return {
    ...(health && { health }),
    ...(evaluation && { evaluation }),
    ...(heldOutSites === 0 ? {} : { heldOutLoss: first("metric:heldOutLoss") / heldOutSites }),
    examples,
    clipped,
    loss: first("metric:loss"),
    finalLoss: first("metric:finalLoss"),
    updateNorm: first("metric:updateNorm"),
    steps: first("metric:steps"),
  };
}
