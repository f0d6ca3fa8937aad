/** The plane on which features differ most: their first two principal components. */
import { Random } from "../dataset/random.ts";

export interface PrincipalPlane {
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Of the features' variance, the parts along x and y; 0 where they do not differ at all. */
  readonly shares: readonly [x: number, y: number];
}

const SEED = 0x9ca;
const MOST_ITERATIONS = 300;
const TOLERANCE = 1e-6;

/**
 * By orthogonal iteration (Golub and Van Loan 2013, section 8.2.4), which needs no covariance matrix. The largest weight of
 * each direction is positive, so that the same features give the same picture.
 * @param features [N, width], row by row
 */
export function principalPlane(features: Float32Array, width: number): PrincipalPlane {
  const rows = centred(features, width);
  const random = new Random(SEED, width);
  const anyDirection = (): Float64Array => Float64Array.from({ length: width }, () => random.normal());
  let [first, second] = [anyDirection(), anyDirection()];
  for (let i = 0; i < MOST_ITERATIONS; i++) {
    const [nextFirst, nextSecond] = orthonormal(spread(rows, first), spread(rows, second));
    const moved = distance(first, nextFirst) + distance(second, nextSecond);
    [first, second] = [nextFirst, nextSecond];
    if (moved < TOLERANCE) break;
  }
  const [right, up] = [withSign(first), withSign(second)];
  const points = rows.map((row) => ({ x: dot(row, right), y: dot(row, up) }));
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0);
  const part = (axis: "x" | "y"): number =>
    total === 0 ? 0 : points.reduce((sum, point) => sum + point[axis] ** 2, 0) / total;
  return { points, shares: [part("x"), part("y")] };
}

function centred(features: Float32Array, width: number): Float64Array[] {
  const count = features.length / width;
  const mean = new Float64Array(width);
  for (const [i, value] of features.entries()) mean[i % width] = (mean[i % width] ?? 0) + value / count;
  return Array.from({ length: count }, (_, row) =>
    mean.map((m, column) => (features[row * width + column] ?? 0) - m),
  );
}

/** X^T X v */
function spread(rows: readonly Float64Array[], v: Float64Array): Float64Array {
  const out = new Float64Array(v.length);
  for (const row of rows) {
    const along = dot(row, v);
    for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) + along * (row[i] ?? 0);
  }
  return out;
}

/** Gram and Schmidt; a direction of no length stays at zero. */
function orthonormal(first: Float64Array, second: Float64Array): [Float64Array, Float64Array] {
  const one = unit(first, 0);
  const along = dot(second, one);
  // What is left of a vector after rounding is no direction.
  return [
    one,
    unit(
      second.map((value, i) => value - along * (one[i] ?? 0)),
      1e-9 * Math.abs(along),
    ),
  ];
}

function unit(v: Float64Array, negligible: number): Float64Array {
  const length = Math.sqrt(dot(v, v));
  return v.map((value) => (length > negligible ? value / length : 0));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0));

function withSign(v: Float64Array): Float64Array {
  const largest = v.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? v.map((value) => -value) : v;
}
