/**
 * AdamW (Loshchilov and Hutter 2019) in TF.js operations, arranged for few passes over memory.
 *
 * The gradient comes in as g' = (1 - beta1) g, so that m' = beta1 m + g'. The second moment is kept in a unit of its
 * own, V = v (1 - beta1)^2 / (1 - beta2), so that V' = beta2 V + g'^2. What the textbook multiplies into every
 * element then goes into two scalars of the step, worked out in float64 outside of the graph.
 */
import type { Slot } from "./layout.ts";
import * as tf from "./tf.ts";
import type { AdamWOptions } from "./types.ts";

/** Scalars that change from step to step, as the graph's input `schedule`: epsilon, then rate and keep per scale. */
export interface Schedule {
  readonly epsilon: tf.Tensor;
  /** By learning-rate scale. */
  readonly rates: ReadonlyMap<number, Rate>;
}

export interface Rate {
  /** Factor on m / (sqrt(V) + epsilon). */
  readonly step: tf.Tensor;
  /** Factor on weights that decay. */
  readonly keep: tf.Tensor;
}

export type Betas = Pick<AdamWOptions, "beta1" | "beta2">;

export interface Moments {
  readonly first: tf.Tensor;
  readonly second: tf.Tensor;
}

/** Distinct scales, in the order of the schedule. */
export const learningRateScales = (trainable: readonly Slot[]): readonly number[] => [
  ...new Set(trainable.map((slot) => slot.learningRateScale)),
];

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
  // m^ = m / (1 - beta1^t) and sqrt(v^) = sqrt(V) unit / sqrt(1 - beta2^t)
  const first = 1 / (1 - beta1 ** update);
  const second = Math.sqrt(secondMomentUnit({ beta1, beta2 }) / (1 - beta2 ** update));
  const perScale = scales.flatMap((scale) => [
    (learningRate * scale * first) / second,
    1 - learningRate * scale * weightDecay,
  ]);
  return Float32Array.from([epsilon / second, ...perScale]);
}

/** v / V */
export const secondMomentUnit = ({ beta1, beta2 }: Betas): number => (1 - beta2) / (1 - beta1) ** 2;

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
  if (gradients.length === 0) return tf.scalar(0);
  const squares = gradients.map((gradient) => tf.sum(tf.square(gradient)));
  return tf.sqrt(tf.addN(squares));
}

/** Clips a gradient of norm `norm` to at most `limit`, and makes it g'. */
export const gradientFactor = (norm: tf.Tensor, { clipGlobalNorm, beta1 }: AdamWOptions): tf.Tensor =>
  tf.div((1 - beta1) * clipGlobalNorm, tf.maximum(norm, clipGlobalNorm));

/** Whether all scalars are finite numbers, as a scalar. */
export const areFinite = (scalars: readonly tf.Tensor[]): tf.Tensor =>
  scalars.map((scalar): tf.Tensor => tf.less(tf.abs(scalar), Infinity)).reduce((a, b) => tf.logicalAnd(a, b));

/** What `adamW` multiplies with. */
export interface Factors {
  /** Of the moments. */
  readonly beta1: tf.Tensor;
  readonly beta2: tf.Tensor;
  readonly schedule: Schedule;
}

/** Factors with which `adamW` leaves weights and moments as they are, given a gradient of 0, unless `usable`. */
export function guardedFactors(usable: tf.Tensor, { beta1, beta2 }: Betas, schedule: Schedule): Factors {
  const or = (value: tf.Tensor | number, otherwise: number): tf.Tensor => tf.where(usable, value, otherwise);
  const rates = [...schedule.rates].map(([scale, { step, keep }]): [number, Rate] => [
    scale,
    { step: or(step, 0), keep: or(keep, 1) },
  ]);
  return {
    beta1: or(beta1, 1),
    beta2: or(beta2, 1),
    schedule: { epsilon: schedule.epsilon, rates: new Map(rates) },
  };
}

/** One update. `gradient` is clipped and times (1 - beta1); the second moment is in its own unit. */
export function adamW(
  weights: tf.Tensor,
  gradient: tf.Tensor,
  moments: Moments,
  { beta1, beta2, schedule: { epsilon } }: Factors,
  { step, keep }: Rate,
  decay: boolean,
): { readonly weights: tf.Tensor; readonly moments: Moments } {
  const first = tf.add(tf.mul(moments.first, beta1), gradient);
  const second = tf.add(tf.mul(moments.second, beta2), tf.square(gradient));
  const update = tf.mul(tf.div(first, tf.add(tf.sqrt(second), epsilon)), step);
  const kept = decay ? tf.mul(weights, keep) : weights;
  return { weights: tf.sub(kept, update), moments: { first, second } };
}
