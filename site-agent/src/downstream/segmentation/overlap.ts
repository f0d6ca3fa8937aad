/**
 * How well two masks agree: Dice and the Hausdorff distance's 95th percentile. Masks are row-major, of volumes slice after slice;
 * not 0 is inside.
 */

export interface MaskSize {
  readonly width: number;
  readonly height: number;
  /** Slices of a volume; 1 unless given. */
  readonly depth?: number;
  /** From slice to slice, in units of the distance from pixel to pixel; 1 unless given. */
  readonly sliceStep?: number;
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
  if (borderA.length === 0 || borderB.length === 0) return diagonal(size);
  return Math.max(directed(borderA, borderB, size), directed(borderB, borderA, size));
}

const diagonal = ({ width, height, depth, sliceStep = 1 }: MaskSize): number =>
  depth === undefined ? Math.hypot(width, height) : Math.hypot(width, height, depth * sliceStep);

/** Places inside that have a place outside on any side of them; beyond the image is outside. */
export function border(mask: Uint8Array, { width, height, depth }: MaskSize): Int32Array {
  const places: number[] = [];
  const plane = width * height;
  for (let at = 0; at < mask.length; at++) {
    if (!mask[at]) continue;
    const x = at % width;
    const y = Math.floor(at / width) % height;
    const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1;
    const within = edge || !mask[at - 1] || !mask[at + 1] || !mask[at - width] || !mask[at + width];
    if (within || (depth !== undefined && (!mask[at - plane] || !mask[at + plane]))) places.push(at);
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
export function squaredDistances(
  sources: Int32Array,
  { width, height, depth = 1, sliceStep = 1 }: MaskSize,
): Float64Array {
  const plane = width * height;
  const field = new Float64Array(plane * depth).fill(Infinity);
  for (const at of sources) field[at] = 0;
  const lower = new LowerEnvelope(Math.max(width, height, depth));
  if (depth > 1) for (let at = 0; at < plane; at++) lower.transform(field, at, plane, depth, sliceStep);
  for (let slice = 0; slice < depth; slice++) {
    for (let x = 0; x < width; x++) lower.transform(field, slice * plane + x, width, height);
    for (let y = 0; y < height; y++) lower.transform(field, slice * plane + y * width, 1, width);
  }
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

  /** @param step from place to place */
  transform(field: Float64Array, offset: number, stride: number, length: number, step = 1): void {
    const [values, places, starts] = [this.#values, this.#places, this.#starts];
    let count = 0;
    for (let q = 0; q < length; q++) {
      // In units of the step, so that places stay whole numbers.
      const value = (field[offset + q * stride] ?? Infinity) / step ** 2;
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
      field[offset + q * stride] = step ** 2 * ((q - p) ** 2 + (values[p] ?? 0));
    }
  }
}
