import { expect, it } from "vitest";
import { createEngine } from "./engine.ts";
import * as tf from "./tf.ts";
import type { TrainStep, TrainStepDefinition } from "./types.ts";

const EXAMPLES = 4;
const inputs = (parts: number) => ({ x: { shape: [EXAMPLES / parts, 3], dtype: "float32" } }) as const;
type Inputs = ReturnType<typeof inputs>;
const ANCHOR = Float32Array.of(0.5, -1, 2, 0.25, 0, -0.5);
const MU = 0.7;
const BATCHES = [1, 2, 3, 4].map((seed) => ({
  x: Float32Array.from({ length: 12 }, (_, i) => Math.sin(seed * 10 + i)),
}));

/** @param inLoss whether the term stands in the loss, to be differentiated, or is left to the step */
function definition(inLoss: boolean, mu: number, parts: number): TrainStepDefinition<Inputs> {
  return {
    parameters: [{ name: "w", shape: [3, 2], decay: true, learningRateScale: 1 }],
    inputs: inputs(parts),
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

async function trained(step: TrainStep<Inputs>): Promise<Float32Array> {
  await step.writeWeights(ANCHOR);
  await step.writeOptimizerState(null);
  for (const batch of BATCHES) await step.run(batch, 0.05);
  const weights = await step.readWeights();
  await step.dispose();
  return weights;
}

const difference = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))));

it("trains as if the term stood in the loss, at once and in micro-batches", async () => {
  const engine = await createEngine({ threads: 1, device: "cpu" });
  const compile = async (inLoss: boolean, mu: number, parts = 1): Promise<Float32Array> =>
    trained(await engine.compileTrainStep(definition(inLoss, mu, parts), { microBatches: parts }));
  const expected = await compile(true, MU);
  expect(difference(await compile(false, MU), expected)).toBeLessThan(1e-6);
  expect(difference(await compile(false, MU, 2), expected)).toBeLessThan(1e-6);
  expect(difference(await compile(false, 0), expected)).toBeGreaterThan(1e-3);
});
