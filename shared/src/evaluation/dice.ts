/**
 * Dice of masks at all sites together, out of sums of pixels: 2 |A and B| / (|A| + |B|), with A what was said and B what is
 * labelled. Whole numbers add up exactly, so it is that of all masks in one place.
 */

/** One number a class, in pixels. */
export interface OverlapCounts {
  readonly intersections: Float64Array;
  /** |A| + |B| */
  readonly sizes: Float64Array;
}

/** One class of one image. @param said, truth not 0 inside; of the same length */
export function overlapOf(
  said: ArrayLike<number>,
  truth: ArrayLike<number>,
): { readonly intersection: number; readonly size: number } {
  if (said.length !== truth.length) throw new RangeError("masks of two sizes");
  let [intersection, size] = [0, 0];
  for (let i = 0; i < said.length; i++) {
    const [a, b] = [Number(Boolean(said[i])), Number(Boolean(truth[i]))];
    intersection += a * b;
    size += a + b;
  }
  return { intersection, size };
}

/** Of each class; null where nothing was said and nothing is labelled. */
export const diceOfCounts = ({ intersections, sizes }: OverlapCounts): readonly (number | null)[] =>
  Array.from(sizes, (size, at) => (size === 0 ? null : (2 * (intersections[at] ?? NaN)) / size));
