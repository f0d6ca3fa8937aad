import "@tensorflow/tfjs-backend-cpu";
import type { Tensor } from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, it } from "vitest";
import { elementCount } from "@consilium/shared/manifest";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { Random } from "../dataset/random.ts";
import { createEngine } from "../engine/engine.ts";
import * as tf from "../engine/tf.ts";
import type { Engine, InputTensors } from "../engine/types.ts";
import { adamWOptions } from "../training/pretext-step.ts";
import { toyImages, toyVolumes } from "../training/testing/toy.ts";
import { maeTask, type MaeInputs } from "./mae.ts";
import { reconstruct } from "./reconstruct.ts";

/** Augmentation with crops, several heads and blocks, a decoder of another width: everything but size. */
const PLAN = parsePlan({
  federation: "test",
  title: "Test",
  rounds: 1,
  cachePx: 24,
  model: { imagePx: 16, patchPx: 4 },
  pretext: { task: "mae", decoder: { width: 48, depth: 2, heads: 4 } },
  // Without memory and clipping AdamW's first moment is the gradient.
  training: { batchSize: 4, clipGlobalNorm: 1e6, adamBeta1: 0 },
});

/** The same in three dimensions and two channels. */
const VOLUMES = parsePlan({
  ...PLAN,
  cachePx: 20,
  volume: { depthPx: 6, sliceSpacingMm: 3, pixelSpacingMm: 3 },
  model: { imagePx: 16, patchPx: 8, dimensions: 3, depthPx: 4, patchDepthPx: 2, channels: 2 },
});

let engine: Engine;
beforeAll(async () => {
  await tf.setBackend("cpu");
  engine = await createEngine({ threads: 1, device: "cpu" });
});

/** One step without learning: its loss, and its gradient as AdamW's first moment. */
async function traced(plan: Plan, images: Uint8Array) {
  const task = maeTask(plan);
  const weights = task.initialWeights(1);
  // Biases and norms away from 0 and 1, so that nothing cancels by chance.
  const random = new Random(2);
  for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] ?? 0) + 0.05 * random.normal();
  const inputs = task.prepare(images, new Random(3));
  const step = await engine.compileTrainStep({
    parameters: task.parameters,
    inputs: task.inputs(plan.training.batchSize),
    loss: task.loss,
    optimizer: adamWOptions(plan),
  });
  await step.writeWeights(weights);
  await step.writeOptimizerState(null);
  const result = await step.run(inputs, 0);
  const { firstMoment } = await step.readOptimizerState();
  await step.dispose();
  return { plan, task, weights, inputs, ...result, gradient: firstMoment };
}

type Traced = Awaited<ReturnType<typeof traced>>;

function expectReference({ plan, task, weights, inputs, loss, gradient, gradientNorm }: Traced): void {
  const specs = task.inputs(plan.training.batchSize);
  const tensors = Object.fromEntries(
    (Object.keys(specs) as (keyof MaeInputs)[]).map((name) => {
      const { shape, dtype } = specs[name];
      const values = Array.from(inputs[name]);
      return [name, tf.tensor(values, [...shape], dtype === "int32" ? "int32" : "float32")];
    }),
  ) as InputTensors<MaeInputs>;
  let offset = 0;
  const parts = task.parameters.map(({ shape }) => weights.subarray(offset, (offset += elementCount(shape))));
  const { value, grads } = tf.valueAndGrads((...values: Tensor[]) => {
    const named = new Map(task.parameters.map(({ name }, i) => [name, values[i] as Tensor]));
    return tf.reshape<tf.Rank.R0>(task.loss(named, tensors).loss, []);
  })(parts.map((part, i) => tf.tensor(part, [...(task.parameters[i]?.shape ?? [])])));

  const expectedLoss = value.dataSync()[0] ?? NaN;
  expect(Math.abs(loss / expectedLoss - 1)).toBeLessThan(1e-5);
  let squares = 0;
  offset = 0;
  for (const [i, { name, shape }] of task.parameters.entries()) {
    const expected = grads[i]?.dataSync() ?? [];
    let error = 0;
    let size = 0;
    for (let j = 0; j < elementCount(shape); j++) {
      error += ((gradient[offset + j] ?? NaN) - (expected[j] ?? NaN)) ** 2;
      size += (expected[j] ?? NaN) ** 2;
    }
    offset += elementCount(shape);
    squares += size;
    expect(Math.sqrt(error / size), name).toBeLessThan(1e-5);
  }
  expect(gradientNorm / Math.sqrt(squares)).toBeCloseTo(1, 5);
}

describe("the compiled MAE step", () => {
  it("lowers the loss on volumes", async () => {
    const task = maeTask(VOLUMES);
    const step = await engine.compileTrainStep({
      parameters: task.parameters,
      inputs: task.inputs(8),
      loss: task.loss,
      optimizer: { ...adamWOptions(VOLUMES), beta1: 0.9, clipGlobalNorm: 1 },
    });
    await step.writeWeights(task.initialWeights(1));
    await step.writeOptimizerState(null);
    const images = toyVolumes(8, VOLUMES);
    const random = new Random(4);
    const losses: number[] = [];
    for (let i = 0; i < 40; i++) losses.push((await step.run(task.prepare(images, random), 2e-3)).loss);
    await step.dispose();
    const mean = (some: readonly number[]) => some.reduce((sum, loss) => sum + loss, 0) / some.length;
    expect(mean(losses.slice(-5))).toBeLessThan(0.85 * mean(losses.slice(0, 5)));
  });

  it("has the loss and every gradient of TF.js' own backend, within 1e-5 relative, of images and volumes", async () => {
    const { batchSize } = PLAN.training;
    const steps = [
      await traced(PLAN, toyImages(batchSize, PLAN.cachePx)),
      await traced(VOLUMES, toyVolumes(batchSize, VOLUMES)),
    ];
    // From here on TF.js' own rules replace ours: the reference shares neither kernels nor gradients with the step.
    await import("@tensorflow/tfjs-core/dist/register_all_gradients.js");
    for (const step of steps) expectReference(step);
  });
});

describe("reconstruction", () => {
  const request = { plan: PLAN, weights: maeTask(PLAN).initialWeights(1), seed: 9 };
  const count = 21;

  it("shows each image whole, with hidden patches grey, and restored with its visible patches untouched", async () => {
    const images = toyImages(count, PLAN.cachePx);
    const { sizePx, images: pictures } = await reconstruct(engine, { ...request, images });
    expect(sizePx).toBe(16);
    expect(pictures).toHaveLength(count);
    for (const { original, masked, reconstructed } of pictures) {
      const grey = masked.filter((value) => value === 128).length;
      expect(grey).toBeGreaterThanOrEqual(12 * 16);
      for (const [i, value] of masked.entries()) {
        expect(value === 128 || (value === original[i] && reconstructed[i] === value)).toBe(true);
      }
    }
    // The picture is the image: shrunk from 24 to 16 pixels its mean stays.
    const mean = (values: Uint8Array) => values.reduce((sum, v) => sum + v, 0) / values.length;
    const last = images.subarray(20 * 24 ** 2);
    expect(Math.abs(mean(pictures[20]?.original ?? new Uint8Array()) - mean(last))).toBeLessThan(2);
  });

  it("scores an untrained model no better than the mean patch, which scores almost 1", async () => {
    const images = toyImages(count, PLAN.cachePx);
    const { loss, meanPatchLoss } = await reconstruct(engine, { ...request, images });
    expect(meanPatchLoss).toBeGreaterThan(0.3);
    expect(meanPatchLoss).toBeLessThan(1);
    expect(loss).toBeGreaterThan(meanPatchLoss);
  });

  it("shows volumes slice by slice", async () => {
    const images = toyVolumes(2, VOLUMES);
    const weights = maeTask(VOLUMES).initialWeights(1);
    const drawn = await reconstruct(engine, { plan: VOLUMES, weights, images, seed: 9 });
    expect(drawn).toMatchObject({ sizePx: 16, depthPx: 4, channels: 2 });
    for (const { original, masked } of drawn.images) {
      expect(original).toHaveLength(4 * 16 ** 2 * 2);
      for (const [i, value] of masked.entries()) expect(value === 128 || value === original[i]).toBe(true);
    }
    const mean = (values: Uint8Array) => values.reduce((sum, v) => sum + v, 0) / values.length;
    const [first] = drawn.images;
    expect(
      Math.abs(mean(first?.original ?? new Uint8Array()) - mean(images.subarray(0, images.length / 2))),
    ).toBeLessThan(3);
  });

  it("refuses weights of another model", async () => {
    const short = reconstruct(engine, {
      ...request,
      weights: request.weights.subarray(1),
      images: new Uint8Array(24 ** 2),
    });
    await expect(short).rejects.toMatchObject({ code: "frame.wrong-length" });
  });
});
