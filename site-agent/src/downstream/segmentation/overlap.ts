/** How well two masks agree: Dice and the Hausdorff distance's 95th percentile. Masks are row-major, not 0 is inside. */

export interface MaskSize {
  readonly width: number;
  readonly height: number;
}

/** 2 |A and B| / (|A| + |B|) (Dice 1945), from 0 to 1. Null if both are empty: the image then says nothing of the class. */
export function dice(a: Uint8Array, b: Uint8Array): number | null {
  let both = 0;
  let total = 0;
  for (let i = 0; i < a.length; i++) {
    const [inA, inB] = [a[i] ? 1 : 0, b[i] ? 1 : 0];
    both += inA & inB;
    total += inA + inB;
  }
  return total === 0 ? null : (2 * both) / total;
}

/**
 * The larger of the two 95th percentiles of distances from one mask's border to the other's, in pixels: the Hausdorff
 * distance without its worst twentieth (as MONAI has it). The diagonal if only one is empty, so that a miss costs;
 * null if both are.
 */
export function hd95(a: Uint8Array, b: Uint8Array, size: MaskSize): number | null {
  const [borderA, borderB] = [border(a, size), border(b, size)];
  if (borderA.length === 0 && borderB.length === 0) return null;
  if (borderA.length === 0 || borderB.length === 0) return Math.hypot(size.width, size.height);
  return Math.max(directed(borderA, borderB, size), directed(borderB, borderA, size));
}

/** Places inside that have a place outside beside, above or below them; beyond the image is outside. */
export function border(mask: Uint8Array, { width, height }: MaskSize): Int32Array {
  const places: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!mask[at]) continue;
      const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1;
      if (edge || !mask[at - 1] || !mask[at + 1] || !mask[at - width] || !mask[at + width]) places.push(at);
    }
  }
  return Int32Array.from(places);
}

function directed(from: Int32Array, to: Int32Array, size: MaskSize): number {
  const squared = squaredDistances(to, size);
  const distances = Float64Array.from(from, (at) => Math.sqrt(squared[at] ?? 0)).sort();
  const position = 0.95 * (distances.length - 1);
  const below = Math.floor(position);
  const low = distances[below] ?? 0;
  return low + (position - below) * ((distances[below + 1] ?? low) - low);
}

/** Exact squared distance of every place to the nearest of `sources` (Felzenszwalb and Huttenlocher 2012), row-major. */
export function squaredDistances(sources: Int32Array, { width, height }: MaskSize): Float64Array {
  const field = new Float64Array(width * height).fill(Infinity);
  for (const at of sources) field[at] = 0;
  const lower = new LowerEnvelope(Math.max(width, height));
  for (let x = 0; x < width; x++) lower.transform(field, x, width, height);
  for (let y = 0; y < height; y++) lower.transform(field, y * width, 1, width);
  return field;
}

/** One dimension: the lower envelope of a parabola on every place. */
class LowerEnvelope {
  readonly #values: Float64Array;
  /** Places of the parabolas in the envelope, and where each begins to be the lowest. */
  readonly #places: Int32Array;
  readonly #starts: Float64Array;

  constructor(longest: number) {
    this.#values = new Float64Array(longest);
    this.#places = new Int32Array(longest);
    this.#starts = new Float64Array(longest);
  }

  transform(field: Float64Array, offset: number, stride: number, length: number): void {
    const [values, places, starts] = [this.#values, this.#places, this.#starts];
    let count = 0;
    for (let q = 0; q < length; q++) {
      const value = field[offset + q * stride] ?? Infinity;
      values[q] = value;
      if (value === Infinity) continue;
      let start = -Infinity;
      while (count > 0) {
        const p = places[count - 1] ?? 0;
        start = (value + q * q - ((values[p] ?? 0) + p * p)) / (2 * (q - p));
        if (start > (starts[count - 1] ?? -Infinity)) break;
        count -= 1;
        start = -Infinity;
      }
      places[count] = q;
      starts[count] = start;
      count += 1;
    }
    if (count === 0) return;
    for (let q = 0, k = 0; q < length; q++) {
      while (k + 1 < count && (starts[k + 1] ?? Infinity) < q) k += 1;
      const p = places[k] ?? 0;
      field[offset + q * stride] = (q - p) ** 2 + (values[p] ?? 0);
    }
  }
}
