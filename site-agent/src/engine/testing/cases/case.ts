/** What one entry of the kernel contract is, and how its random tensors are drawn. */
import type { Random } from "../../../dataset/random.ts";
import * as tf from "../../tf.ts";
import { uniform, type Case, type TensorFunction } from "../compare.ts";

export interface ContractCase {
  readonly name: string;
  /** Draws shapes, values and options anew each time. */
  build(random: Random): Case;
  /** Whether the gradients with respect to all float32 inputs belong to the contract. */
  readonly gradients: boolean;
  /** Largest difference that counts as equal, relative to the largest element; 1e-5 unless given. */
  readonly tolerance?: number;
  /** Random builds that a test tries; 2 unless given. */
  readonly runs?: number;
}

export const smooth = (name: string, build: ContractCase["build"], runs = 2): ContractCase => ({
  name,
  build,
  gradients: true,
  runs,
});

/** Off the differentiated path. */
export const flat = (name: string, build: ContractCase["build"], runs = 1): ContractCase => ({
  name,
  build,
  gradients: false,
  runs,
});

/** low .. high, both included. */
export const between = (random: Random, low: number, high: number): number =>
  low + random.below(high - low + 1);

export function pick<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[random.below(choices.length)];
  if (choice === undefined) throw new RangeError("nothing to choose from");
  return choice;
}

export const randomShape = (random: Random, minRank = 0, maxRank = 4): number[] =>
  Array.from({ length: between(random, minRank, maxRank) }, () => between(random, 1, 4));

/** Two shapes that broadcast to each other: axes dropped from the front or set to 1. */
export function broadcastPair(random: Random): [a: number[], b: number[]] {
  const shape = randomShape(random, 1, 4);
  const left = shape.map((length) => (random.below(3) === 0 ? 1 : length));
  const right = shape.map((length) => (random.below(3) === 0 ? 1 : length)).slice(random.below(shape.length));
  return random.below(2) === 0 ? [left, right] : [right, left];
}

/** A function of one tensor of any shape with elements in low .. high. */
export const ofOne = (name: string, run: TensorFunction, low = -2, high = 2): ContractCase =>
  smooth(name, (random) => ({ inputs: [uniform(random, randomShape(random), low, high)], run }));

/** A function of two tensors that broadcast. */
export const ofTwo = (name: string, run: TensorFunction, low = -2, high = 2): ContractCase =>
  smooth(name, (random) => {
    const [a, b] = broadcastPair(random);
    return { inputs: [uniform(random, a, low, high), uniform(random, b, low, high)], run };
  });

/** Runs a kernel that no operation of TF.js calls by itself. */
export const runKernel = (name: string, inputs: tf.NamedTensorMap, attributes: object = {}): tf.Tensor =>
  tf.engine().runKernel<tf.Tensor>(name, inputs, { ...attributes });
