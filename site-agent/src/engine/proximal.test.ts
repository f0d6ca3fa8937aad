import { describe, expect, it } from "vitest";
import { compileTrainStep } from "./train-step.ts";
import { eagerRuntime } from "./eager-runtime.ts";
import { createEngine } from "./engine.ts";
import * as tf from "./tf.ts";
import type { StepOptions, TrainStep, TrainStepDefinition } from "./types.ts";

const INPUTS = { x: { shape: [4, 3], dtype: "float32" } } as const;
const ANCHOR = Float32Array.of(0.5, -1, 2, 0.25, 0, -0.5);
const MU = 0.7;
const BATCHES = [1, 2, 3, 4].map((seed) => ({
  x: Float32Array.from({ length: 12 }, (_, i) => Math.sin(seed * 10 + i)),
}));

/** @param inLoss whether the term stands in the loss, to be differentiated, or is left to the step */
function definition(inLoss: boolean, mu: number): TrainStepDefinition<typeof INPUTS> {
  return {
    parameters: [
      { name: "w", shape: [3, 2], trainable: true, decay: true, learningRateScale: 1, init: { kind: "zeros" } },
    ],
    inputs: INPUTS,
    separable: true,
    optimizer: {
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.05,
      clipGlobalNorm: 0.3,
      ...(inLoss ? {} : { proximalMu: mu }),
    },
    loss: (parameters, { x }) => {
      const w = parameters.get("w");
      if (w === undefined) throw new Error("w is a parameter");
      const own = tf.mean(tf.square(tf.sub(tf.matMul(x, w), 1)));
      if (!inLoss) return { loss: own };
      const moved = tf.sub(w, tf.tensor(ANCHOR, [3, 2]));
      return { loss: tf.add(own, tf.mul(tf.sum(tf.square(moved)), mu / 2)) };
    },
  };
}

type Compile = (inLoss: boolean, mu: number, options?: StepOptions) => Promise<TrainStep<typeof INPUTS>>;
const runtimes: readonly (readonly [string, Compile])[] = [
  ["reference", (inLoss, mu, options) => compileTrainStep(eagerRuntime("cpu"), definition(inLoss, mu), options)],
  [
    "compiled",
    async (inLoss, mu, options) =>
      (await createEngine({ threads: 1, device: "cpu" })).compileTrainStep(definition(inLoss, mu), options),
  ],
];

async function trained(step: TrainStep<typeof INPUTS>): Promise<Float32Array> {
  await step.writeWeights(ANCHOR);
  await step.writeOptimizerState(null);
  for (const batch of BATCHES) await step.run(batch, 0.05);
  const weights = await step.readWeights();
  await step.dispose();
  return weights;
}

const difference = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))));

describe.each(runtimes)("a %s step with a proximal term", (_name, compile) => {
  it("trains as if the term stood in the loss, at once and in micro-batches", async () => {
    const expected = await trained(await compile(true, MU));
    expect(difference(await trained(await compile(false, MU)), expected)).toBeLessThan(1e-6);
    const parts = await trained(await compile(false, MU, { microBatches: 2 }));
    expect(difference(parts, expected)).toBeLessThan(1e-6);
    expect(difference(await trained(await compile(false, 0)), expected)).toBeGreaterThan(1e-3);
  });
});
