/** The masks that are left in a sum, added to it by as many threads as take stretches of it, until none is left. */
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import { addMasks, BLOCK_BYTES, type MaskTerm } from "@consilium/shared/secagg/masks";
import { blockRanges } from "@consilium/shared/secagg/ring";

/** What the threads share; plain data but for the memory that they write to. */
export interface MaskWork {
  readonly layout: VectorLayout;
  readonly terms: readonly MaskTerm[];
  readonly sum: SharedArrayBuffer;
  /** One counter: blocks that somebody has taken. */
  readonly taken: SharedArrayBuffer;
}

export function maskWork(layout: VectorLayout, terms: readonly MaskTerm[], sum: SharedArrayBuffer): MaskWork {
  return { layout, terms, sum, taken: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT) };
}

/** Takes blocks until none is left; may run in several threads at once. @throws secagg.spent */
export function addUpMasks({ layout, terms, sum, taken }: MaskWork): void {
  const geometry = geometryOf(layout);
  const counter = new Int32Array(taken);
  const ranges = [...blockRanges(geometry, BLOCK_BYTES)];
  for (;;) {
    const range = ranges[Atomics.add(counter, 0, 1)];
    if (range === undefined) return;
    const block = { offset: range.offset, bytes: new Uint8Array(sum, range.offset, range.length) };
    addMasks(geometry, block, terms);
  }
}
