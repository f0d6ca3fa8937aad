/**
 * AdamW (Loshchilov and Hutter 2019) in TF.js operations, arranged for few passes over memory.
 *
 * The moments are kept divided by (1 - beta): M' = beta1 M + g and V' = beta2 V + g^2. What the textbook multiplies
 * into every element then goes into two scalars of the step, worked out in float64 outside of the graph.
 */
import * as tf from "./tf.ts";
import type { AdamWOptions } from "./types.ts";

/** Scalars that change from step to step, as the graph's input `schedule`: epsilon, then rate and keep per scale. */
export interface Schedule {
  readonly epsilon: tf.Tensor;
  /** By learning-rate scale. */
  readonly rates: ReadonlyMap<number, Rate>;
}

export interface Rate {
  /** Factor on M / (sqrt(V) + epsilon). */
  readonly step: tf.Tensor;
  /** Factor on weights that decay. */
  readonly keep: tf.Tensor;
}

export interface Moments {
  readonly first: tf.Tensor;
  readonly second: tf.Tensor;
}

export const scheduleLength = (scales: readonly number[]): number => 1 + 2 * scales.length;

/**
 * @param scales distinct learning-rate scales of the trainable parameters
 * @param update number of this update, from 1
 */
export function scheduleValues(
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
  scales: readonly number[],
  learningRate: number,
  update: number,
): Float32Array {
  // m^ = M (1 - beta1) / (1 - beta1^t) and sqrt(v^) = sqrt(V) sqrt((1 - beta2) / (1 - beta2^t))
  const first = (1 - beta1) / (1 - beta1 ** update);
  const second = Math.sqrt((1 - beta2) / (1 - beta2 ** update));
  const perScale = scales.flatMap((scale) => [
    (learningRate * scale * first) / second,
    1 - learningRate * scale * weightDecay,
  ]);
  return Float32Array.from([epsilon / second, ...perScale]);
}

/** Takes the vector of `scheduleValues` apart again, inside the graph. */
export function readSchedule(values: tf.Tensor, scales: readonly number[]): Schedule {
  const scalars = tf.split(values, scheduleLength(scales)).map((scalar) => tf.reshape(scalar, []));
  const at = (index: number): tf.Tensor => {
    const scalar = scalars[index];
    if (scalar === undefined) throw new RangeError("the schedule is shorter than its scales");
    return scalar;
  };
  return {
    epsilon: at(0),
    rates: new Map(scales.map((scale, i) => [scale, { step: at(1 + 2 * i), keep: at(2 + 2 * i) }])),
  };
}

/** Global L2 norm over all gradients. */
export function globalNorm(gradients: readonly tf.Tensor[]): tf.Tensor {
  const squares = gradients.map((gradient) => tf.sum(tf.square(gradient)));
  return tf.sqrt(tf.addN(squares));
}

/** Factor that brings a gradient of norm `norm` down to at most `limit`. */
export const clipFactor = (norm: tf.Tensor, limit: number): tf.Tensor =>
  tf.div(limit, tf.maximum(norm, limit));

/** One update. `gradient` is already clipped. */
export function adamW(
  weights: tf.Tensor,
  gradient: tf.Tensor,
  moments: Moments,
  { beta1, beta2 }: Pick<AdamWOptions, "beta1" | "beta2">,
  epsilon: tf.Tensor,
  { step, keep }: Rate,
  decay: boolean,
): { readonly weights: tf.Tensor; readonly moments: Moments } {
  const first = tf.add(tf.mul(moments.first, beta1), gradient);
  const second = tf.add(tf.mul(moments.second, beta2), tf.square(gradient));
  const update = tf.mul(tf.div(first, tf.add(tf.sqrt(second), epsilon)), step);
  const kept = decay ? tf.mul(weights, keep) : weights;
  return { weights: tf.sub(kept, update), moments: { first, second } };
}
