/**
 * Bent intensities: a curve from brightness to brightness, monotone, drawn for each image and applied inside the compiled
 * step. It is laid through knots at equal distances, so that the step needs sums of clipped ramps and no table.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Random } from "../dataset/random.ts";
import * as tf from "../engine/tf.ts";

/** Pieces of straight line. */
const PIECES = 8;
/** Numbers that describe a curve: where it starts, and how far it climbs in each piece. */
export const CURVE_LENGTH = 1 + PIECES;

/** Halves the interval of the search for a Bezier curve's parameter: enough for float32. */
const BISECTIONS = 24;

export const STRAIGHT: Float32Array = through((x) => x);

/** x^gamma */
export const gammaCurve = (gamma: number): Float32Array => through((x) => x ** gamma);

/** gamma log-uniform in 1 / most .. most. */
export const randomGammaCurve = (most: number, random: Random): Float32Array =>
  gammaCurve(most ** (2 * random.uniform() - 1));

/**
 * Models Genesis' non-linear intensities (Zhou et al. 2021, section 3.1.1): a cubic Bezier curve from (0, 0) to (1, 1) with
 * two random points between, half of the time turned to fall from 1 to 0.
 */
export function randomBezierCurve(random: Random): Float32Array {
  const sorted = (): [number, number] => {
    const [a, b] = [random.uniform(), random.uniform()];
    return a < b ? [a, b] : [b, a];
  };
  const [x1, x2] = sorted();
  const [y1, y2] = sorted();
  const falls = random.uniform() < 0.5;
  return through((x) => {
    let [low, high] = [0, 1];
    for (let i = 0; i < BISECTIONS; i++) {
      const middle = (low + high) / 2;
      if (bezier(middle, x1, x2) < x) low = middle;
      else high = middle;
    }
    const y = bezier((low + high) / 2, y1, y2);
    return falls ? 1 - y : y;
  });
}

/** One coordinate of the curve from 0 over a and b to 1. */
const bezier = (t: number, a: number, b: number): number =>
  3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t ** 2 * b + t ** 3;

function through(curve: (x: number) => number): Float32Array {
  const start = curve(0);
  const climbs = Array.from({ length: PIECES }, (_, i) => curve((i + 1) / PIECES) - curve(i / PIECES));
  return Float32Array.from([start, ...climbs]);
}

/**
 * @param pixels [N, .., .., ..], 0 to 1
 * @param curves [N, CURVE_LENGTH]
 */
export function bend(pixels: Tensor, curves: Tensor): Tensor {
  const [batch = 0] = pixels.shape;
  const [start, ...climbs] = tf
    .split(curves, CURVE_LENGTH, 1)
    .map((column) => tf.reshape(column, [batch, 1, 1, 1]));
  const scaled = tf.mul(pixels, PIECES);
  return climbs.reduce<Tensor>(
    (sum, climb, i) => tf.add(sum, tf.mul(tf.clipByValue(tf.sub(scaled, i), 0, 1), climb)),
    start ?? tf.zeros([batch, 1, 1, 1]),
  );
}
