/** What tasks that compare images put on top of the encoder. No BatchNorm: its statistics would tell of the site. */
import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, layerNorm, linear } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../engine/types.ts";
import { apply, linearParameters, normParameters } from "../model/vit.ts";

export interface PerceptronShape {
  readonly inputs: number;
  readonly hidden: number;
  readonly width: number;
}

/** Keeps a vector of zeros at zero. */
const NORM_FLOOR = 1e-12;

export function perceptronParameters(
  name: string,
  { inputs, hidden, width }: PerceptronShape,
): readonly Parameter[] {
  return [
    ...linearParameters(`${name}.fc1`, inputs, hidden),
    ...normParameters(`${name}.norm`, hidden),
    ...linearParameters(`${name}.fc2`, hidden, width),
  ];
}

/** linear, LayerNorm, GELU, linear: [N, inputs] -> [N, width] */
export function perceptron(weights: ParameterTensors, name: string, x: Tensor): Tensor {
  const hidden = apply(layerNorm, weights, `${name}.norm`, apply(linear, weights, `${name}.fc1`, x));
  return apply(linear, weights, `${name}.fc2`, gelu(hidden));
}

/** The mean of the patches, as downstream tasks take it: [N, 1 + L, D] -> [N, D]. */
export function pooled(tokens: Tensor): Tensor {
  const [batch = 0, count = 0, width = 0] = tokens.shape;
  return tf.mean(tf.slice(tokens, [0, 1, 0], [batch, count - 1, width]), 1);
}

/** Each row divided by its length. */
export const unitRows = (x: Tensor): Tensor =>
  tf.mul(x, tf.rsqrt(tf.add(tf.sum(tf.square(x), -1, true), NORM_FLOOR)));

/** [n, n], ones on the diagonal. */
export const identity = (n: number): Tensor => {
  const values = new Float32Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = 1;
  return tf.tensor(values, [n, n]);
};
