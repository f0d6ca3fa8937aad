/**
 * Gradients of pooling. A window of several axes is a window of one axis after the other: the last axis is pooled
 * first, as TF.js scans, so the first of several equal maxima is also found axis by axis.
 */
import * as tf from "@tensorflow/tfjs-core";
import { composition, padAxis, sliceAxis, type Composition, type Tensors } from "./composition.ts";
import { windowsOf, type Window, type WindowAttributes } from "./window.ts";

/** For each tap of the window the elements that it meets, one per output. */
function taps(x: tf.Tensor, axis: number, window: Window, fill: number): tf.Tensor[] {
  const { before, after, size, dilation, stride, output } = window;
  const padded = padAxis(x, axis, before, Math.max(0, after), fill);
  return Array.from({ length: size }, (_, tap) => sliceAxis(padded, axis, tap * dilation, output, stride));
}

/** The other way: adds each tap's elements to where the tap met them. */
function gatherTaps(parts: readonly tf.Tensor[], axis: number, window: Window): tf.Tensor {
  const { input, output, stride, dilation, before, after } = window;
  const cells = Math.ceil((before + input + Math.max(0, after)) / stride);
  // Elements i, i + stride, i + 2 stride, .. meet the same taps; each such residue is a sum of its own.
  const residues = Array.from({ length: stride }, (_, residue) => {
    const shifted = parts.flatMap((part, tap) => {
      if ((tap * dilation) % stride !== residue) return [];
      const cell = Math.floor((tap * dilation) / stride);
      return [padAxis(part, axis, cell, cells - output - cell)];
    });
    return shifted.length === 0 ? null : tf.addN(shifted);
  });
  const shape = (residues.find((sum) => sum !== null) ?? tf.scalar(0)).shape;
  const sums = residues.map((sum) => sum ?? tf.zeros(shape));
  const woven = sums.length === 1 ? sums[0] : tf.stack(sums, axis + 1);
  const length = cells * stride;
  const whole = tf.reshape(woven ?? tf.zeros(shape), shape.map((n, i) => (i === axis ? length : n))); // prettier-ignore
  return sliceAxis(whole, axis, before, input);
}

/** Which of several equal maxima takes the gradient. */
type Winner = "first" | "last";

/** @param x [N, .., C], dy the gradient of its pooled form */
function maxPoolGradient(dy: tf.Tensor, x: tf.Tensor, windows: readonly Window[], winner: Winner): tf.Tensor {
  const stages: { axis: number; window: Window; met: tf.Tensor[]; max: tf.Tensor }[] = [];
  let pooled = x;
  for (const [i, window] of [...windows.entries()].reverse()) {
    const met = taps(pooled, i + 1, window, -Infinity);
    pooled = met.reduce((max, tap) => tf.maximum(max, tap));
    stages.push({ axis: i + 1, window, met, max: pooled });
  }
  return stages.reduceRight((gradient, { axis, window, met, max }) => {
    const order = winner === "first" ? met : met.toReversed();
    let taken: tf.Tensor | null = null;
    const parts = order.map((tap) => {
      const hit: tf.Tensor = tf.equal(tap, max);
      const wins: tf.Tensor = taken === null ? hit : tf.logicalAnd(hit, tf.logicalNot(taken));
      taken = taken === null ? hit : tf.logicalOr(taken, hit);
      return tf.where(wins, gradient, tf.zerosLike(gradient));
    });
    return gatherTaps(winner === "first" ? parts : parts.reverse(), axis, window);
  }, dy);
}

/** Adds every output's gradient to all elements of its window. */
const spread = (dy: tf.Tensor, windows: readonly Window[]): tf.Tensor =>
  windows.reduce(
    (gradient, window, i) =>
      gatherTaps(
        Array.from({ length: window.size }, () => gradient),
        i + 1,
        window,
      ),
    dy,
  );

/** How many taps of each window meet an element and not padding, [1, .., 1]. */
function counts(windows: readonly Window[]): tf.Tensor {
  const perAxis = windows.map(({ input, output, size, stride, dilation, before }, i) => {
    const inside = Array.from({ length: output }, (_, o) => {
      const positions = Array.from({ length: size }, (_tap, tap) => o * stride - before + tap * dilation);
      return positions.filter((position) => position >= 0 && position < input).length;
    });
    const shape = Array.from({ length: windows.length + 2 }, (_, axis) => (axis === i + 1 ? output : 1));
    return tf.tensor(inside, shape, "float32");
  });
  return perAxis.reduce((product, count) => tf.mul(product, count));
}

export interface PoolAttributes extends WindowAttributes {
  readonly filterSize: number | readonly number[];
}

/** @param rank number of axes of the window */
export function poolWindows(shape: readonly number[], attributes: PoolAttributes): Window[] {
  const { filterSize } = attributes;
  const rank = shape.length - 2;
  const size = Array.from({ length: rank }, (_, axis) =>
    typeof filterSize === "number" ? filterSize : (filterSize[axis] ?? filterSize[0] ?? 1),
  );
  return windowsOf(shape, size, { ...attributes, dilations: 1, dataFormat: "NHWC" });
}

/** The true gradient: padding took no part in the mean. */
export function averagePoolGradient(
  dy: tf.Tensor,
  shape: readonly number[],
  attributes: PoolAttributes,
): tf.Tensor {
  const windows = poolWindows(shape, attributes);
  return spread(tf.div(dy, counts(windows)), windows);
}

const maxGrad = (name: string, winner: Winner): Composition =>
  composition(name, [], ({ dy, input }: Tensors<"dy" | "input">, attributes: PoolAttributes) =>
    maxPoolGradient(dy, input, poolWindows(input.shape, attributes), winner),
  );

/** TF.js' own: it divides by all taps, those over padding too. */
const averageGrad = (name: string): Composition =>
  composition(name, [], ({ dy, input }: Tensors<"dy" | "input">, attributes: PoolAttributes) => {
    const windows = poolWindows(input.shape, attributes);
    return spread(
      tf.div(
        dy,
        windows.reduce((count, { size }) => count * size, 1),
      ),
      windows,
    );
  });

// Of equal maxima TF.js' CPU backend takes the first in a plane and the last in a volume.
export const maxPool2dGradient = maxGrad(tf.MaxPoolGrad, "first");
export const maxPool3dGradient = maxGrad(tf.MaxPool3DGrad, "last");

export const poolingCompositions: readonly Composition[] = [
  maxPool2dGradient,
  maxPool3dGradient,
  averageGrad(tf.AvgPoolGrad),
  averageGrad(tf.AvgPool3DGrad),
];
