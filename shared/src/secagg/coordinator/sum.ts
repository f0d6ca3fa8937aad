/**
 * The sum of the survivors' vectors and what it means. Blocks are independent: worker threads may each take a stretch
 * of the body with `addToBlock` (fold), `addMasks` (remove) and `meanDecoder`; this is the same on one thread.
 */
import { ConsiliumError } from "../../errors.ts";
import { decodeTail, meanDecoder, type TailTotals } from "../decode.ts";
import { geometryOf, type VectorLayout } from "../layout.ts";
import { BLOCK_BYTES, addMasks } from "../masks.ts";
import { addToBlock, blockRanges, type Block } from "../ring.ts";
import type { Unmasking } from "./unmask.ts";

/** Adds a part of one survivor's vector to the accumulator, which is as long as the vector. */
export function foldMasked(layout: VectorLayout, accumulator: Uint8Array, part: Block): void {
  const { offset, bytes } = part;
  const target = { offset, bytes: accumulator.subarray(offset, offset + bytes.length) };
  addToBlock(geometryOf(layout), target, bytes, 1);
}

export interface Aggregate extends TailTotals {
  /** Weighted mean of the updates, in manifest order. */
  readonly mean: Float32Array;
}

/** The end of an opened sum: everything in it but the update. */
export interface OpenedTail {
  /** Sites in the sum. */
  readonly sites: number;
  readonly bytes: Uint8Array;
}

/**
 * What the sums of several groups say together: examples, metrics and counts are added up as those of one sum are. All
 * sites of a layout fit into its ring, so no word wraps.
 * @throws secagg.garbled, frame.wrong-length
 */
export function joinTails(layout: VectorLayout, tails: readonly OpenedTail[]): TailTotals {
  const geometry = geometryOf(layout);
  const joined = { offset: geometry.bodyBytes, bytes: new Uint8Array(4 * geometry.tailWords) };
  for (const { bytes } of tails) addToBlock(geometry, joined, bytes, 1);
  return decodeTail(
    layout,
    tails.reduce((sum, { sites }) => sum + sites, 0),
    joined.bytes,
  );
}

/**
 * Takes the remaining masks away, in place, and decodes.
 * @throws secagg.garbled if the result is not one that these sites can have produced
 * @throws frame.wrong-length, secagg.spent
 */
export function openSum(
  layout: VectorLayout,
  { survivors, removals }: Unmasking,
  accumulator: Uint8Array,
): Aggregate {
  const geometry = geometryOf(layout);
  if (accumulator.length !== geometry.totalBytes) throw new ConsiliumError("frame.wrong-length");
  for (const { offset, length } of removals.length === 0 ? [] : blockRanges(geometry, BLOCK_BYTES)) {
    addMasks(geometry, { offset, bytes: accumulator.subarray(offset, offset + length) }, removals);
  }
  const totals = decodeTail(layout, survivors.length, accumulator.subarray(geometry.bodyBytes));
  const decoder = meanDecoder(layout, survivors.length, totals);
  const mean = new Float32Array(geometry.bodyLength);
  decoder.body({ offset: 0, bytes: accumulator.subarray(0, geometry.bodyBytes) }, mean);
  return { mean, ...totals };
}
