/**
 * The sum of masked updates, unmasked, and the next checkpoint out of it. Memory is three vectors, however many sites
 * there are: the sum, the masks that are left in it, and the mean that they give.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { healthOfMeans } from "@consilium/shared/health/extras";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { RoundTotals } from "@consilium/shared/protocol/round";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import { foldMasked, openSum, type Aggregate } from "@consilium/shared/secagg/coordinator/sum";
import type { Unmasking } from "@consilium/shared/secagg/coordinator/unmask";
import type { TailTotals } from "@consilium/shared/secagg/decode";
import { assertMaskedHeader, MASKED_HEADER_BYTES } from "@consilium/shared/secagg/frame";
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import type { Blobs } from "../blobs/blobs.ts";
import { readHashed } from "../blobs/hashed.ts";
import { readCheckpointHead } from "./checkpoint-stream.ts";
import type { ByteSource } from "./float-stream.ts";
import { MaskThreads } from "./mask-threads.ts";
import { writeNext, type NextJob, type NextModel } from "./next-checkpoint.ts";

/** All that it takes to open a sum, whatever it is of. */
export interface MaskedSumJob {
  readonly attempt: Attempt;
  readonly layout: VectorLayout;
  /** The survivors' frames, by site. */
  readonly frames: readonly { readonly site: SiteId; readonly sha256: Sha256 }[];
  readonly unmasking: Unmasking;
}

export interface MaskedFoldJob extends MaskedSumJob, NextJob {}

export interface MaskedFold extends NextModel {
  readonly totals: RoundTotals;
}

/** A whole number of elements of either width. */
const ELEMENT_BYTES = 4;

/**
 * @throws secagg.garbled if the sum is not one that these sites can have produced
 * @throws frame.*, secagg.other-attempt, naming the site; hash.mismatch if a vector has changed on the disk; then nothing
 *   was written
 */
export async function foldMaskedRound(job: MaskedFoldJob, blobs: Blobs): Promise<MaskedFold> {
  const head = await readCheckpointHead(blobs.read(job.base));
  const { mean, ...totals } = await openMasked(job, blobs);
  const next = await writeNext(job, blobs, head, new Float64Array(mean));
  return { ...next, totals: toRoundTotals(totals) };
}

/**
 * What is beside the updates in the sum; there need not be any.
 * @throws secagg.garbled; frame.*, secagg.other-attempt, naming the site
 */
export async function sumMasked(job: MaskedSumJob, blobs: Blobs): Promise<TailTotals> {
  const { examples, clipped, extras } = await openMasked(job, blobs);
  return { examples, clipped, extras };
}

async function openMasked(job: MaskedSumJob, blobs: Blobs): Promise<Aggregate> {
  const { attempt, layout, unmasking } = job;
  const sum = new Uint8Array(geometryOf(layout).totalBytes);
  const masks = new MaskThreads(layout, unmasking.removals);
  try {
    for (const { site, sha256 } of job.frames) {
      // Nothing in a masked vector tells that a bit of it has changed; in the sum it would be a weight somewhere else.
      await addFrame(attempt, layout, sum, site, readHashed(blobs, sha256, site));
    }
    await masks.addTo(sum);
  } finally {
    await masks.close();
  }
  return openSum(layout, { ...unmasking, removals: [] }, sum);
}

/** Looks at a frame's beginning: whether it is of this attempt at all. @throws as assertMaskedHeader */
export async function checkFrame(attempt: Attempt, layout: VectorLayout, source: ByteSource): Promise<void> {
  let start: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    start = Buffer.concat([start, piece]);
    if (start.length >= MASKED_HEADER_BYTES) break;
  }
  assertMaskedHeader(attempt, layout, start);
}

async function addFrame(
  attempt: Attempt,
  layout: VectorLayout,
  sum: Uint8Array,
  site: SiteId,
  source: ByteSource,
): Promise<void> {
  let rest: Uint8Array = new Uint8Array(0);
  let offset = -1;
  for await (const piece of source) {
    let bytes: Uint8Array = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    if (offset < 0) {
      if (bytes.length < MASKED_HEADER_BYTES) {
        rest = bytes;
        continue;
      }
      assertMaskedHeader(attempt, layout, bytes);
      bytes = bytes.subarray(MASKED_HEADER_BYTES);
      offset = 0;
    }
    const whole = bytes.length - (bytes.length % ELEMENT_BYTES);
    if (offset + whole > sum.length) throw new ConsiliumError("frame.wrong-length", { culprits: [site] });
    foldMasked(layout, sum, { offset, bytes: bytes.subarray(0, whole) });
    offset += whole;
    rest = bytes.slice(whole);
  }
  if (offset !== sum.length || rest.length > 0) {
    throw new ConsiliumError("frame.wrong-length", { culprits: [site] });
  }
}

function toRoundTotals({ examples, clipped, extras }: TailTotals): RoundTotals {
  const first = (name: string): number => extras[name]?.[0] ?? NaN;
  const health = healthOfMeans(extras);
  const heldOutSites = extras["metric:heldOutSites"]?.[0] ?? 0;
  return {
    ...(health && { health }),
    ...(heldOutSites === 0 ? {} : { heldOutLoss: first("metric:heldOutLoss") / heldOutSites }),
    examples,
    clipped,
    loss: first("metric:loss"),
    finalLoss: first("metric:finalLoss"),
    updateNorm: first("metric:updateNorm"),
    steps: first("metric:steps"),
  };
}
