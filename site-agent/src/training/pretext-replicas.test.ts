import { expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { createEngine } from "../engine/engine.ts";
import { expectClose } from "../engine/testing/compare.ts";
import { openPretextStep, startPretextReplicas } from "./pretext-replicas.ts";
import { compilePretextStep, type PretextStep } from "./pretext-step.ts";
import { sameBits, toyImages, toyPlan } from "./testing/toy.ts";

const ENGINE = { threads: 1, device: "cpu" } as const;
const PLAN = toyPlan();
const STEPS = 3;

interface Trained {
  readonly losses: readonly number[];
  readonly weights: Float32Array;
  readonly firstMoment: Float32Array;
}

async function train({ task, step }: PretextStep): Promise<Trained> {
  await step.writeWeights(task.initialWeights(1));
  await step.writeOptimizerState(null);
  const random = new Random(2);
  const images = toyImages(PLAN.training.batchSize);
  const losses = [];
  for (let i = 0; i < STEPS; i++) losses.push((await step.run(task.prepare(images, random), 1e-3)).loss);
  const { firstMoment } = await step.readOptimizerState();
  return { losses, weights: await step.readWeights(), firstMoment };
}

it("MAE on two devices trains as on one, with the same bits every time", async () => {
  const alone = await compilePretextStep(await createEngine(ENGINE), PLAN);
  const expected = await train(alone);
  const both = await startPretextReplicas([ENGINE, ENGINE], PLAN);
  const actual = await train(both);
  expectClose(actual.losses, expected.losses, 1e-6);
  expectClose(actual.firstMoment, expected.firstMoment, 1e-5);
  // AdamW's first updates have the learning rate's size whatever the gradient's: rounding shows where there is almost none.
  expectClose(actual.weights, expected.weights, 1e-3);
  expect(sameBits((await train(both)).weights, actual.weights)).toBe(true);
  await alone.step.dispose();
  await both.step.dispose();
});

it("a number of devices that does not divide the batch is refused", async () => {
  await expect(startPretextReplicas([ENGINE, ENGINE, ENGINE], PLAN)).rejects.toMatchObject({
    code: "engine.not-separable",
  });
});

it("micro-batches and recomputation reach the step, and change nothing but its memory", async () => {
  const plain = await openPretextStep(ENGINE, PLAN);
  const frugal = await openPretextStep({ ...ENGINE, microBatches: 2, recompute: true }, PLAN);
  const [expected, actual] = [await train(plain), await train(frugal)];
  expectClose(actual.losses, expected.losses, 1e-6);
  expectClose(actual.firstMoment, expected.firstMoment, 1e-5);
  expect(sameBits(actual.weights, expected.weights)).toBe(false); // Other sums, other roundings.
  await plain.step.dispose();
  await frugal.step.dispose();
  await expect(openPretextStep({ ...ENGINE, microBatches: 3 }, PLAN)).rejects.toMatchObject({
    code: "engine.not-separable",
  });
});
