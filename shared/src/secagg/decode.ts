/** The unmasked sum back to means and totals, or a refusal: a sum that its sites cannot have produced is never used. */
import { ConsiliumError } from "../errors.ts";
import { CHECK_WORDS, geometryOf, tailFields, type Geometry, type VectorLayout } from "./layout.ts";
import { int16s, int32s, type Block } from "./ring.ts";

export interface TailTotals {
  /** Sum of min(examples, cap). */
  readonly examples: number;
  /** Elements beyond their ranges, at all sites together. */
  readonly clipped: number;
  /** By name: means of weighted reals, sums of the others. */
  readonly extras: Readonly<Record<string, Float64Array>>;
}

/**
 * @param sites how many survivors are in the sum
 * @param tail the vector from `bodyBytes` on
 * @throws secagg.garbled, frame.wrong-length
 */
export function decodeTail(layout: VectorLayout, sites: number, tail: Uint8Array): TailTotals {
  const geometry = geometryOf(layout);
  if (tail.length !== 4 * geometry.tailWords) throw new ConsiliumError("frame.wrong-length");
  const words = int32s(tail);
  // Each site adds 0 here, so that masks which do not cancel show with certainty 1 - 2^-128.
  assertAll(words.subarray(words.length - CHECK_WORDS), (word) => word === 0);
  const [examples = 0, clipped = 0] = words;
  assertAll([examples], (word) => word >= sites && word <= sites * layout.examplesCap);
  assertAll([clipped], (word) => word >= 0 && word <= sites * geometry.clippedMost);
  const extras = tailFields(layout).map(({ extra, start }): [string, Float64Array] => {
    const sums = words.subarray(start, start + extra.length);
    if (extra.kind === "count") {
      assertAll(sums, (word) => word >= 0 && word <= sites * extra.most);
      return [extra.name, Float64Array.from(sums)];
    }
    const most = sites * geometry.tailLevels;
    assertAll(sums, (word) => Math.abs(word) <= most);
    const step = extra.bound / geometry.tailLevels;
    const unit = extra.weighted ? (step * layout.examplesCap) / examples : step;
    return [extra.name, Float64Array.from(sums, (word) => word * unit)];
  });
  return { examples, clipped, extras: Object.fromEntries(extras) };
}

export interface MeanDecoder {
  readonly geometry: Geometry;
  /** Writes the weighted mean of the block's elements into `mean`, which is as long as the update. */
  readonly body: (block: Block, mean: Float32Array) => void;
}

/**
 * Mean = sum * (bound / Q) / (sum of weights). Its distance from the exact weighted mean of the clipped updates is below
 * (bound / Q) * sites / (sum of weights), and its expectation is that mean; then it is rounded to float32.
 * @param totals of `decodeTail`
 */
export function meanDecoder(
  layout: VectorLayout,
  sites: number,
  totals: Pick<TailTotals, "examples">,
): MeanDecoder {
  const geometry = geometryOf(layout);
  const weights = totals.examples / layout.examplesCap;
  const most = sites * geometry.bodyLevels;
  const body = ({ offset, bytes }: Block, mean: Float32Array): void => {
    const elements = geometry.bodyBits === 32 ? int32s(bytes) : int16s(bytes);
    const first = (offset * 8) / geometry.bodyBits;
    assertWithin(elements, most);
    let start = 0;
    for (const { length, bound } of layout.tensors) {
      const from = Math.max(start, first);
      const to = Math.min(start + length, first + elements.length);
      const unit = bound / geometry.bodyLevels / weights;
      for (let i = from; i < to; i++) mean[i] = (elements[i - first] ?? NaN) * unit;
      start += length;
    }
    // Filling behind the last element.
    assertWithin(elements.subarray(Math.max(0, start - first)), 0);
  };
  return { geometry, body };
}

/** The loop over all weights, for which a function to ask each of them would take longer than the rest. */
function assertWithin(elements: Int32Array | Int16Array, most: number): void {
  for (let i = 0; i < elements.length; i++) {
    const element = elements[i] ?? NaN;
    if (!(element <= most && element >= -most)) throw new ConsiliumError("secagg.garbled");
  }
}

function assertAll(words: ArrayLike<number>, holds: (word: number) => boolean): void {
  for (let i = 0; i < words.length; i++) {
    if (!holds(words[i] ?? NaN)) throw new ConsiliumError("secagg.garbled");
  }
}
