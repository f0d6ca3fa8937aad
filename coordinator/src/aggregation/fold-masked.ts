/**
 * The sums of masked updates, unmasked, and the next checkpoint out of them. Memory is two vectors, however many sites
 * there are: a sum, and the mean that it gives. Means of groups wait on the disk.
 */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { evaluationOfSums } from "@consilium/shared/evaluation/extras";
import { findingsOfSums } from "@consilium/shared/evaluation/finding-extras";
import { masksOfSums } from "@consilium/shared/evaluation/mask-extras";
import { healthOfMeans } from "@consilium/shared/health/extras";
import { patientsOfSums } from "@consilium/shared/health/patients";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { RoundTotals } from "@consilium/shared/protocol/round";
import {
  joinTails,
  openSum,
  type Aggregate,
  type OpenedTail,
} from "@consilium/shared/secagg/coordinator/sum";
import type { Unmasking } from "@consilium/shared/secagg/coordinator/unmask";
import type { TailTotals } from "@consilium/shared/secagg/decode";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { required } from "@consilium/shared/secagg/required";
import { MIN_GROUPS } from "@consilium/shared/secagg/threshold";
import type { Blobs } from "../blobs/blobs.ts";
import { OWN, readHashed } from "../blobs/hashed.ts";
import type { ArrivedSum } from "./arrived-sum.ts";
import type { Slice } from "./checked-values.ts";
import { readCheckpointHead, type CheckpointHead } from "./checkpoint-stream.ts";
import { headerAndFloats, toBytes } from "./float-stream.ts";
import { addMasksInThreads } from "./mask-threads.ts";
import { addFrame, type MaskedTerms } from "./masked-frame.ts";
import { writeNext, type NextJob, type NextModel } from "./next-checkpoint.ts";
import { strategyFor } from "./strategy.ts";

/** One sum, whatever it is of. */
export interface MaskedSum {
  /** The survivors' frames, by site. */
  readonly frames: readonly { readonly site: SiteId; readonly sha256: Sha256 }[];
  readonly unmasking: Unmasking;
}

export interface MaskedSumJob extends MaskedTerms, MaskedSum {}

/** All sums of an attempt: one, unless groups are summed apart. */
export interface MaskedSums extends MaskedTerms {
  readonly sums: readonly MaskedSum[];
}

export interface MaskedFoldJob extends MaskedSums, NextJob {}

export interface MaskedFold extends NextModel {
  /** Of all groups together. */
  readonly totals: RoundTotals;
  /** Numbers of groups that were left out: their sites cannot have produced their sum. */
  readonly garbled: readonly number[];
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
  const head = await readCheckpointHead(blobs.scan(job.base));
  if (job.layout.groupSites !== undefined) return foldGroups(job, blobs, arrived, head);
  const { mean, ...opened } = await openMasked({ ...job, ...required(job.sums[0]) }, blobs, arrived);
  const totals = toRoundTotals(opened);
  const next = await writeNext(job, blobs, head, mean);
  return { ...next, totals, garbled: [] };
}

/** Opens group after group; their means are to the strategy what single updates are elsewhere. */
async function foldGroups(
  job: MaskedFoldJob,
  blobs: Blobs,
  arrived: ArrivedSum,
  head: CheckpointHead,
): Promise<MaskedFold> {
  const { layout, sums } = job;
  const means: Sha256[] = [];
  const tails: OpenedTail[] = [];
  const garbled: number[] = [];
  try {
    for (const [i, sum] of sums.entries()) {
      try {
        const { mean, tail } = await openMasked({ ...job, ...sum }, blobs, arrived);
        means.push((await blobs.write([toBytes(mean)])).sha256);
        tails.push({ sites: sum.unmasking.survivors.length, bytes: tail });
      } catch (error) {
        if (toConsiliumError(error).code !== "secagg.garbled") throw error;
        garbled.push(i);
      }
    }
    if (means.length < MIN_GROUPS) {
      const culprits = garbled.flatMap((i) => required(sums[i]).unmasking.survivors);
      throw new ConsiliumError("secagg.garbled", { culprits });
    }
    const combined = await strategyFor(job.strategy).combine({
      length: geometryOf(layout).bodyLength,
      // Groups count alike: how many images one says it has is as little to be believed as its mean.
      examples: means.map(() => 1),
      read: (i) => meanValues(blobs, required(means[i])),
    });
    const totals = toRoundTotals(joinTails(layout, tails));
    const next = await writeNext(job, blobs, head, combined);
    return { ...next, totals, garbled };
  } finally {
    for (const name of means) await blobs.remove(name);
  }
}

async function* meanValues(blobs: Blobs, name: Sha256): AsyncGenerator<Slice, void, undefined> {
  let offset = 0;
  for await (const part of headerAndFloats(readHashed(blobs, name, OWN), 0)) {
    if ("header" in part) continue;
    yield { offset, values: part.values };
    offset += part.values.length;
  }
}

/**
 * What is beside the updates in the sum; there need not be any.
 * @throws secagg.garbled; frame.*, secagg.other-attempt, naming the site
 */
export async function sumMasked(job: MaskedSumJob, blobs: Blobs, arrived: ArrivedSum): Promise<TailTotals> {
  const { examples, clipped, extras } = await openMasked(job, blobs, arrived);
  return { examples, clipped, extras };
}

async function openMasked(
  job: MaskedSumJob,
  blobs: Blobs,
  arrived: ArrivedSum,
): Promise<Aggregate & { readonly tail: Uint8Array }> {
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
  const opened = openSum(layout, { ...unmasking, removals: [] }, vector);
  return { ...opened, tail: vector.slice(geometryOf(layout).bodyBytes) };
}

/** @throws secagg.garbled */
function toRoundTotals({ examples, clipped, extras }: TailTotals): RoundTotals {
  const first = (name: string): number => extras[name]?.[0] ?? NaN;
  const health = healthOfMeans(extras);
  const evaluation = evaluationOfSums(extras) ?? findingsOfSums(extras);
  const masks = masksOfSums(extras);
  const patients = patientsOfSums(extras);
  const heldOutSites = extras["metric:heldOutSites"]?.[0] ?? 0;
  return {
    ...(health && { health }),
    ...(evaluation && { evaluation }),
    ...(masks && { masks }),
    ...(patients && { patients }),
    ...(heldOutSites === 0 ? {} : { heldOutLoss: first("metric:heldOutLoss") / heldOutSites }),
    examples,
    clipped,
    loss: first("metric:loss"),
    finalLoss: first("metric:finalLoss"),
    updateNorm: first("metric:updateNorm"),
    steps: first("metric:steps"),
  };
}
