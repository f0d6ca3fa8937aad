import "@tensorflow/tfjs-backend-cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { compilePretextStep } from "../training/pretext-step.ts";
import { toyImages, toyPlan } from "../training/testing/toy.ts";
import { createEngine, createReferenceEngine } from "./engine.ts";
import { expectClose } from "./testing/compare.ts";
import * as tf from "./tf.ts";
import type { Engine, InputSpec, StepOptions, TrainStep, TrainStepDefinition } from "./types.ts";

type Specs = {
  readonly x: InputSpec & { dtype: "float32" };
  readonly picked: InputSpec & { dtype: "int32" };
};

interface Sizes {
  readonly width: number;
  readonly hidden: number;
  readonly examples: number;
}

/** A small network; one input has two rows for each example. */
const network = ({ width, hidden, examples }: Sizes): TrainStepDefinition<Specs> => ({
  parameters: [
    { name: "up", shape: [width, hidden], decay: true, learningRateScale: 1 },
    { name: "down", shape: [hidden, 1], decay: false, learningRateScale: 0.5 },
    { name: "frozen", shape: [hidden], decay: true, learningRateScale: 0 },
  ],
  inputs: {
    x: { shape: [examples * 2, width], dtype: "float32" },
    picked: { shape: [examples], dtype: "int32" },
  },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1, clipGlobalNorm: 1e-2 },
  separable: true,
  loss: (weights, { x, picked }) => {
    const get = (name: string): tf.Tensor => weights.get(name) ?? x;
    const y = tf.matMul(tf.tanh(tf.add(tf.matMul(x, get("up")), get("frozen"))), get("down"));
    const each = tf.mean(tf.reshape(tf.square(tf.sub(y, 1)), [examples, 2]), 1);
    const loss = tf.mean(each);
    return { loss, metrics: { each, picked: tf.cast(picked, "float32"), twice: tf.mul(loss, 2) } };
  },
});

const sizes = fc.record({
  width: fc.integer({ min: 1, max: 9 }),
  hidden: fc.integer({ min: 1, max: 9 }),
  examples: fc.integer({ min: 1, max: 4 }),
});

const normal = (random: Random, length: number): Float32Array =>
  Float32Array.from({ length }, () => random.normal());

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1, device: "cpu" });
});
const engines: readonly [string, () => Engine][] = [
  ["compiled", () => engine],
  ["reference", () => createReferenceEngine("cpu")],
];

describe.each(engines)("the %s step in micro-batches", (_, get) => {
  it("updates as the whole batch does, for any shapes", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 2, max: 4 }), fc.nat(), async (part, microBatches, seed) => {
        const whole = { ...part, examples: part.examples * microBatches };
        const steps = [
          await get().compileTrainStep(network(whole)),
          await get().compileTrainStep(network(part), { microBatches }),
        ];
        const random = new Random(seed);
        const weights = normal(random, part.hidden * (part.width + 2));
        const batches = [1, 2].map(() => ({
          x: normal(random, whole.examples * 2 * part.width),
          picked: Int32Array.from({ length: whole.examples }, (__, i) => i),
        }));
        const [expected, actual] = await Promise.all(
          steps.map(async (step) => {
            await step.writeWeights(weights);
            const results = [];
            for (const batch of batches) results.push(await step.run(batch, 0.1));
            const state = { weights: await step.readWeights(), ...(await step.readOptimizerState()) };
            await step.dispose();
            return { results, state };
          }),
        );
        expected?.results.forEach(({ loss, gradientNorm, metrics }, i) => {
          const other = actual?.results[i];
          expectClose([other?.loss ?? NaN], [loss], 1e-5);
          expectClose([other?.gradientNorm ?? NaN], [gradientNorm], 1e-4);
          for (const name of ["each", "picked", "twice"]) {
            expectClose(other?.metrics[name] ?? [], metrics[name] ?? [NaN], 1e-5);
          }
        });
        expectClose(actual?.state.weights ?? [], expected?.state.weights ?? [NaN], 1e-4);
        expectClose(actual?.state.firstMoment ?? [], expected?.state.firstMoment ?? [NaN], 1e-4);
        expectClose(actual?.state.secondMoment ?? [], expected?.state.secondMoment ?? [NaN], 1e-4);
      }),
      { numRuns: 12 },
    );
  });

  it("leaves everything as it was when a part is no number, and goes on after that", async () => {
    const part = { width: 2, hidden: 3, examples: 1 };
    const step = await get().compileTrainStep(network(part), { microBatches: 3 });
    const fresh = await get().compileTrainStep(network(part), { microBatches: 3 });
    const random = new Random(1);
    const weights = normal(random, 12);
    const picked = new Int32Array(3);
    const good = { x: normal(random, 12), picked };
    const bad = good.x.slice();
    bad[6] = NaN;
    for (const one of [step, fresh]) await one.writeWeights(weights);
    await expect(step.run({ x: bad, picked }, 0.1)).rejects.toMatchObject({ code: "training.diverged" });
    expect(await step.readWeights()).toEqual(weights);
    expect((await step.readOptimizerState()).step).toBe(0);
    await step.run(good, 0.1);
    await fresh.run(good, 0.1);
    expect(await step.readWeights()).toEqual(await fresh.readWeights());
    await step.dispose();
    await fresh.dispose();
  });

  it("refuses a batch that is not made of so many parts", async () => {
    const step = await get().compileTrainStep(network({ width: 2, hidden: 3, examples: 2 }), {
      microBatches: 2,
    });
    const run = step.run({ x: new Float32Array(12), picked: new Int32Array(3) }, 0.1);
    await expect(run).rejects.toMatchObject({ code: "engine.run-failed", culprits: ["x"] });
    await step.dispose();
  });

  it("refuses a loss that does not say that it is a mean over examples", async () => {
    const { parameters, inputs, optimizer, loss } = network({ width: 2, hidden: 3, examples: 2 });
    const definition = { parameters, inputs, optimizer, loss };
    await expect(get().compileTrainStep(definition, { microBatches: 2 })).rejects.toMatchObject({
      code: "engine.not-separable",
    });
  });
});

describe("MAE in micro-batches", () => {
  const plan = toyPlan();

  it("has the whole batch's loss and gradient", async () => {
    const first = async (options: StepOptions): Promise<[number, Float32Array]> => {
      const { task, step } = await compilePretextStep(engine, plan, options);
      await step.writeWeights(task.initialWeights(1));
      const images = toyImages(plan.training.batchSize);
      const { loss } = await step.run(task.prepare(images, new Random(2)), 1e-3);
      const { firstMoment } = await stateOf(step);
      return [loss, firstMoment];
    };
    const [loss, moment] = await first({});
    const [lossInParts, momentInParts] = await first({ microBatches: 4 });
    expectClose([lossInParts], [loss], 1e-6);
    expectClose(momentInParts, moment, 1e-5);
  });

  it("refuses a number of parts that does not divide the batch", async () => {
    await expect(compilePretextStep(engine, plan, { microBatches: 3 })).rejects.toMatchObject({
      code: "engine.not-separable",
    });
  });
});

async function stateOf(step: TrainStep): Promise<{ firstMoment: Float32Array }> {
  const state = await step.readOptimizerState();
  await step.dispose();
  return state;
}
