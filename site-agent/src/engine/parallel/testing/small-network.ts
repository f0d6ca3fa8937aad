/** A network that traces in no time, with metrics of both kinds. */
import * as tf from "../../tf.ts";
import type { InputSpec, TrainStepDefinition } from "../../types.ts";

export interface SmallRecipe {
  /** In one part of the batch. */
  readonly examples: number;
  /** Which replica ends when it is asked to run for the so-manieth time, from 1. */
  readonly ending: { readonly replica: number; readonly run: number } | null;
}

export const WIDTH = 6;
const HIDDEN = 5;
/** Of the weights' flat vector. */
export const LENGTH = HIDDEN * (WIDTH + 2);

export type SmallInputs = { readonly x: InputSpec & { readonly dtype: "float32" } };

export const smallNetwork = (examples: number): TrainStepDefinition<SmallInputs> => ({
  parameters: [
    { name: "up", shape: [WIDTH, HIDDEN], decay: true, learningRateScale: 1 },
    { name: "frozen", shape: [HIDDEN], decay: true, learningRateScale: 0 },
    { name: "down", shape: [HIDDEN, 1], decay: false, learningRateScale: 0.5 },
  ],
  inputs: { x: { shape: [examples, WIDTH], dtype: "float32" } },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipGlobalNorm: 0.5 },
  separable: true,
  loss: (weights, { x }) => {
    const get = (name: string): tf.Tensor => weights.get(name) ?? x;
    const y = tf.matMul(tf.tanh(tf.add(tf.matMul(x, get("up")), get("frozen"))), get("down"));
    const each = tf.square(tf.sub(y, 1)); // [examples, 1]
    const loss = tf.mean(each);
    return { loss, metrics: { each, twice: tf.mul(loss, 2) } };
  },
});
