/**
 * The masks that are left in a sum, added up by as many threads as there are cores. They follow from keys alone, so this
 * goes on beside reading the frames; threads take stretches of the vector until none is left.
 */
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import { addMasks, BLOCK_BYTES, type MaskTerm } from "@consilium/shared/secagg/masks";
import { addToBlock, blockRanges } from "@consilium/shared/secagg/ring";

/** What the threads share; plain data but for the memory that they write to. */
export interface MaskWork {
  readonly layout: VectorLayout;
  readonly terms: readonly MaskTerm[];
  /** As long as the vector. */
  readonly masks: SharedArrayBuffer;
  /** One counter: blocks that somebody has taken. */
  readonly taken: SharedArrayBuffer;
}

export function maskWork(layout: VectorLayout, terms: readonly MaskTerm[]): MaskWork {
  return {
    layout,
    terms,
    masks: new SharedArrayBuffer(geometryOf(layout).totalBytes),
    taken: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
  };
}

/** Takes blocks until none is left; may run in several threads at once. @throws secagg.spent */
export function addUpMasks({ layout, terms, masks, taken }: MaskWork): void {
  const geometry = geometryOf(layout);
  const counter = new Int32Array(taken);
  const ranges = [...blockRanges(geometry, BLOCK_BYTES)];
  for (;;) {
    const range = ranges[Atomics.add(counter, 0, 1)];
    if (range === undefined) return;
    const block = { offset: range.offset, bytes: new Uint8Array(masks, range.offset, range.length) };
    addMasks(geometry, block, terms);
  }
}

/** sum <- sum + masks, once every thread is done. */
export function applyMasks({ layout, masks }: MaskWork, sum: Uint8Array): void {
  const geometry = geometryOf(layout);
  for (const { offset, length } of blockRanges(geometry, BLOCK_BYTES)) {
    const block = { offset, bytes: sum.subarray(offset, offset + length) };
    addToBlock(geometry, block, new Uint8Array(masks, offset, length), 1);
  }
}
