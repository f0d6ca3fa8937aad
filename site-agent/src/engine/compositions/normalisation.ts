/** Batch and local response normalisation, and the product along an axis. */
import * as tf from "@tensorflow/tfjs-core";
import { composition, padAxis, type Composition, type Tensors } from "./composition.ts";

type BatchInputs = Tensors<"x" | "mean" | "variance"> & Partial<Tensors<"scale" | "offset">>;

/** x [.., C], all others of one shape, [C] or that of x. */
function batchNorm(inputs: BatchInputs, { varianceEpsilon }: tf.FusedBatchNormAttrs): tf.Tensor {
  const { x, mean, variance, scale, offset } = inputs;
  const inverse = tf.rsqrt(tf.add(variance, varianceEpsilon));
  const factor = scale === undefined ? inverse : tf.mul(inverse, scale);
  const y = tf.mul(tf.sub(x, mean), factor);
  return offset === undefined ? y : tf.add(y, offset);
}

/** For each channel the sum over those at most `radius` away: x [.., C]. */
function sumNeighbours(x: tf.Tensor, radius: number): tf.Tensor {
  const channels = x.shape.at(-1) ?? 1;
  const band = Float32Array.from({ length: channels ** 2 }, (_, i) =>
    Math.abs(Math.floor(i / channels) - (i % channels)) <= radius ? 1 : 0,
  );
  const rows = tf.reshape(x, [-1, channels]);
  return tf.reshape(tf.matMul(rows, tf.tensor(band, [channels, channels])), x.shape);
}

const norm = (x: tf.Tensor, { depthRadius, bias, alpha }: tf.LRNAttrs): tf.Tensor =>
  tf.add(tf.mul(sumNeighbours(tf.square(x), depthRadius), alpha), bias);

/** dy n^-beta - 2 alpha beta x sum(dy y / n), n being what y was divided by to the power of beta. */
function responseGradient(x: tf.Tensor, y: tf.Tensor, dy: tf.Tensor, attributes: tf.LRNAttrs): tf.Tensor {
  const { depthRadius, alpha, beta } = attributes;
  const n = norm(x, attributes);
  const others = sumNeighbours(tf.div(tf.mul(dy, y), n), depthRadius);
  return tf.sub(tf.mul(dy, tf.pow(n, -beta)), tf.mul(tf.mul(x, others), 2 * alpha * beta));
}

/** log2(n) products of the whole with itself moved on by 1, 2, 4, ..: exact for zeros, gradients too. */
function cumulativeProduct(x: tf.Tensor, { axis, exclusive, reverse }: tf.CumprodAttrs): tf.Tensor {
  const along = axis < 0 ? axis + x.rank : axis;
  const length = x.shape[along] ?? 1;
  const moved = (y: tf.Tensor, steps: number): tf.Tensor =>
    reverse ? padAxis(y, along, -steps, steps, 1) : padAxis(y, along, steps, -steps, 1);
  let product = exclusive ? moved(x, 1) : x;
  for (let steps = 1; steps < length; steps *= 2) product = tf.mul(product, moved(product, steps));
  return product;
}

const responseNorm = (x: tf.Tensor, attributes: tf.LRNAttrs): tf.Tensor =>
  tf.mul(x, tf.pow(norm(x, attributes), -attributes.beta));

export const normalisationCompositions: readonly Composition[] = [
  composition(
    tf.FusedBatchNorm,
    ["x", "mean", "variance", "scale", "offset"],
    (inputs: BatchInputs, attributes: tf.FusedBatchNormAttrs) => batchNorm(inputs, attributes),
  ),
  composition(tf.LRN, ["x"], ({ x }: Tensors<"x">, attributes: tf.LRNAttrs) => responseNorm(x, attributes)),
  composition(tf.Cumprod, ["x"], ({ x }: Tensors<"x">, attributes: tf.CumprodAttrs) =>
    cumulativeProduct(x, attributes),
  ),
];

export const responseNormGradient = composition(
  tf.LRNGrad,
  [],
  ({ x, y, dy }: Tensors<"x" | "y" | "dy">, attributes: tf.LRNAttrs) =>
    responseGradient(x, y, dy, attributes),
);
