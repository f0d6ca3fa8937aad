/**
 * Resampling along one axis, about its centre: each place of the result is the mean of what it covers where the grid gets
 * coarser (so nothing aliases), and linear between its neighbours where it gets finer. What lies outside is left empty.
 */

/** For each place of the result: the first source place, and the weights from there on; they sum to 1, or are none. */
export interface AxisWeights {
  readonly first: Int32Array;
  readonly weights: readonly Float64Array[];
}

export interface AxisOptions {
  /** Source places. */
  readonly from: number;
  readonly fromMm: number;
  /** Places of the result. */
  readonly to: number;
  readonly toMm: number;
  /** The source is counted the other way round. */
  readonly reversed: boolean;
}

/** Shares of a place that rounding leaves over. */
const NOTHING = 1e-9;

export function axisWeights({ from, fromMm, to, toMm, reversed }: AxisOptions): AxisWeights {
  const scale = toMm / fromMm;
  const start = (from - to * scale) / 2;
  const first = new Int32Array(to);
  const weights: Float64Array[] = [];
  for (let place = 0; place < to; place++) {
    const begin = start + place * scale;
    const covered = scale >= 1 ? shares(begin, begin + scale, from) : neighbours(begin + scale / 2, from);
    const { low, parts } = reversed
      ? { low: from - covered.low - covered.parts.length, parts: covered.parts.toReversed() }
      : covered;
    const sum = parts.reduce((total, part) => total + part, 0);
    first[place] = parts.length === 0 ? 0 : low;
    weights.push(Float64Array.from(parts, (part) => part / sum));
  }
  return { first, weights };
}

interface Covered {
  readonly low: number;
  readonly parts: readonly number[];
}

const NONE: Covered = { low: 0, parts: [] };

/** The part of each source place i .. i + 1 that lies between. */
function shares(begin: number, end: number, from: number): Covered {
  const [inside, outside] = [Math.max(0, begin), Math.min(from, end)];
  if (outside - inside < NOTHING) return NONE;
  const low = Math.floor(inside + NOTHING);
  const high = Math.ceil(outside - NOTHING);
  const parts = Array.from(
    { length: high - low },
    (_, i) => Math.min(outside, low + i + 1) - Math.max(inside, low + i),
  );
  return { low, parts };
}

/** The two places whose centres are nearest; at the border the last one alone. */
function neighbours(centre: number, from: number): Covered {
  if (centre < 0 || centre > from) return NONE;
  const below = Math.floor(centre - 0.5);
  const share = centre - 0.5 - below;
  if (below < 0) return { low: 0, parts: [1] };
  if (below + 1 >= from || share < NOTHING) return { low: Math.min(below, from - 1), parts: [1] };
  return { low: below, parts: [1 - share, share] };
}
