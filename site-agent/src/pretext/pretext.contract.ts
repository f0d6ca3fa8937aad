/** What every task must do; run over each. */
import "@tensorflow/tfjs-backend-cpu";
import { vectorLength } from "@consilium/shared/manifest";
import { spreadOf } from "@consilium/shared/health/moments";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import type { Answers } from "../dataset/taught-labels.ts";
import { createEngine, createReferenceEngine } from "../engine/engine.ts";
import { EXAMPLE_WEIGHT } from "../engine/program.ts";
import { checkGradients } from "../engine/testing/finite-differences.ts";
import * as tf from "../engine/tf.ts";
import type { AdamWOptions, Engine, InputArrays, InputSpecs, TrainStepDefinition } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { toyImages, toyVolumes } from "../training/testing/toy.ts";
import { pretextTask } from "./index.ts";
import { keptAtStart, keptWeights, sharedParameters, sharedWeights, weightsAtSite } from "./sharing.ts";
import { toyHealth } from "./testing/toy-health.ts";
import type { PretextTask } from "./types.ts";

export interface ContractCase {
  /** The plan's `pretext`, with heads of toy size. */
  readonly pretext: { readonly task: Plan["pretext"]["task"] } & Readonly<Record<string, unknown>>;
  /** So many steps on the toy set bring the loss at least down to `falls` of what it was. */
  readonly steps: number;
  readonly falls: number;
}

/** Small enough for a second; several heads and blocks, crops, 2 x 2 patches at the least. */
const SMALL = { width: 32, depth: 2, heads: 4 };
const TINY = { width: 8, depth: 1, heads: 2 };
const CACHE_PX = 20;
const BATCH = 16;
const ADAMW: AdamWOptions = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
  clipGlobalNorm: 1,
};

const planOf = (pretext: object, changes: object = {}): Plan =>
  parsePlan({
    federation: "toy",
    title: "Toy",
    rounds: 1,
    cachePx: CACHE_PX,
    model: { imagePx: 16, patchPx: 4 },
    training: { batchSize: BATCH },
    pretext,
    ...changes,
  });

const definitionOf = (task: PretextTask, examples: number): TrainStepDefinition => ({
  parameters: task.parameters,
  inputs: task.inputs(examples),
  loss: (weights, inputs) => task.loss(weights, inputs),
  separable: task.separable,
  optimizer: ADAMW,
});

/** What a site's first round begins with. */
const atStart = (task: PretextTask): Float32Array =>
  weightsAtSite(task, sharedWeights(task, task.initialWeights(1)), {
    kept: keptAtStart(task, { seed: 1 }, null),
    draw: null,
  });

/** Of so many images; tasks without labels pass the answers over. */
function prepared(task: PretextTask, images: Uint8Array, count: number, random: Random) {
  return task.prepare(images, random, answersFor(task.name, images, count));
}

/** Two classes in turn; two findings, the second known of every other image; what is brighter than most of it as a mask. */
function answersFor(task: string, images: Uint8Array, count: number): Answers {
  const even = (of: number) => Float32Array.from({ length: count * of }, (_, i) => Math.floor(i / of) % 2);
  const all = new Float32Array(count).fill(1);
  if (task === "findings") {
    const weights = Float32Array.from({ length: 2 * count }, (_, i) => (i % 4 === 1 ? 0 : 1));
    return { kind: "findings", present: even(2), weights };
  }
  if (task !== "masks") return { kind: "classes", classes: Int32Array.from(even(1)), weights: all };
  // Volumes have two channels, of which one is as good as the other here.
  const pixels = count * (count === 8 ? 6 : 1) * CACHE_PX ** 2;
  const channels = images.length / pixels;
  const coverage = Uint8Array.from({ length: pixels }, (_, i) =>
    (images[i * channels] ?? 0) > 60 ? 255 : 0,
  );
  return { kind: "masks", coverage, weights: all };
}

const fits = (specs: InputSpecs, arrays: InputArrays<InputSpecs>): void => {
  expect(Object.keys(arrays).sort()).toEqual(Object.keys(specs).sort());
  for (const [name, { shape }] of Object.entries(specs)) {
    expect(arrays[name]?.length, name).toBe(shape.reduce((product, n) => product * n, 1));
  }
};

export function pretextContract({ pretext, steps, falls }: ContractCase): void {
  describe(`${pretext.task} keeps the contract of tasks`, () => {
    const plan = planOf(pretext);
    const small: VitConfig = { ...vitConfig(plan.model), ...SMALL };
    const task = pretextTask(plan, small);
    const tiny = pretextTask(plan, { ...vitConfig({ ...plan.model, patchPx: 8 }), ...TINY });
    const images = toyImages(BATCH, CACHE_PX);
    let engine: Engine;
    beforeAll(async () => {
      await tf.setBackend("cpu");
      engine = await createEngine({ threads: 1, device: "cpu" });
    });

    it("lowers the loss on a toy set, with the same bits for the same seed, and does not collapse", async () => {
      const step = await engine.compileTrainStep(definitionOf(task, BATCH));
      const train = async (count: number) => {
        await step.writeWeights(atStart(task));
        await step.writeOptimizerState(null);
        const random = new Random(2);
        const losses: number[] = [];
        for (let i = 0; i < count; i++)
          losses.push((await step.run(prepared(task, images, BATCH, random), 3e-3)).loss);
        return { losses, weights: await step.readWeights() };
      };
      const { losses, weights } = await train(steps);
      const mean = (some: readonly number[]) => some.reduce((sum, v) => sum + v, 0) / some.length;
      expect(mean(losses.slice(-4)) / mean(losses.slice(0, 4))).toBeLessThan(falls);
      const [again, third] = [await train(3), await train(3)];
      expect(again.losses).toEqual(losses.slice(0, 3));
      expect(third.weights).toEqual(again.weights);
      await step.dispose();

      const health = toyHealth(small, weights, images, CACHE_PX);
      expect(health.rankMe).toBeGreaterThan(2);
      expect(spreadOf(health, small.width)).toBeGreaterThan(0.1);
    });

    it("has the gradients that float64 finite differences give", () => {
      const random = new Random(3);
      const noise = Uint8Array.from({ length: 4 * CACHE_PX ** 2 }, () => random.below(256));
      const { largest, relativeError } = checkGradients(
        definitionOf(tiny, 4),
        prepared(tiny, noise, 4, random),
        { samples: 6, spread: 0.3, seed: 4 },
      );
      expect(largest).toBeGreaterThan(1e-4);
      expect(relativeError).toBeLessThan(1e-5);
    });

    it("gives TF.js' own backend the same loss, and leaves no tensor behind there", async () => {
      const batch = prepared(tiny, images, BATCH, new Random(5));
      const compiled = await engine.compileTrainStep(definitionOf(tiny, BATCH));
      const reference = await createReferenceEngine("cpu").compileTrainStep(definitionOf(tiny, BATCH));
      for (const step of [compiled, reference]) await step.writeWeights(tiny.initialWeights(1));
      const expected = await compiled.run(batch, 1e-3);
      const { loss, gradientNorm } = await reference.run(batch, 1e-3);
      expect(loss / expected.loss).toBeCloseTo(1, 4);
      expect(gradientNorm / expected.gradientNorm).toBeCloseTo(1, 3);
      const { numTensors } = tf.memory();
      await reference.run(batch, 1e-3);
      expect(tf.memory().numTensors).toBe(numTensors);
      await Promise.all([compiled.dispose(), reference.dispose()]);
    });

    it("prepares what its step takes, alike for the same seed, of images and of volumes", () => {
      const prepare = (seed: number) => prepared(task, images, BATCH, new Random(seed));
      fits(task.inputs(BATCH), prepare(1));
      expect(prepare(1)).toEqual(prepare(1));
      expect(prepare(2)).not.toEqual(prepare(1));
      const volumes = volumePlan(pretext);
      const inSpace = pretextTask(volumes, { ...vitConfig(volumes.model), ...TINY });
      fits(inSpace.inputs(8), prepared(inSpace, toyVolumes(8, volumes), 8, new Random(1)));
    });

    it("steps on volumes in two channels", async () => {
      const volumes = volumePlan(pretext);
      const inSpace = pretextTask(volumes, { ...vitConfig(volumes.model), ...TINY });
      const step = await engine.compileTrainStep(definitionOf(inSpace, 8));
      await step.writeWeights(inSpace.initialWeights(1));
      const { loss, gradientNorm } = await step.run(
        prepared(inSpace, toyVolumes(8, volumes), 8, new Random(1)),
        1e-3,
      );
      expect(Number.isFinite(loss)).toBe(true);
      expect(gradientNorm).toBeGreaterThan(0);
      await step.dispose();
    });

    it("gives the gradient of each image, to be clipped for its patient, if its loss is a mean over images", async () => {
      const privacy = {
        examples: BATCH,
        clipL2Norm: 1e-3,
        noiseStdDev: 0,
        expectedExamples: BATCH,
        drawNoise: (out: Float32Array) => void out.fill(0),
      };
      const compiling = engine.compileTrainStep(definitionOf(tiny, BATCH), { privacy });
      if (!task.separable) {
        await expect(compiling).rejects.toMatchObject({ code: "engine.not-separable" });
        return;
      }
      const step = await compiling;
      await step.writeWeights(tiny.initialWeights(1));
      const batch = prepared(tiny, images, BATCH, new Random(6));
      const { gradientNorm } = await step.run(
        { ...batch, [EXAMPLE_WEIGHT]: new Float32Array(BATCH).fill(1) },
        1e-3,
      );
      expect(gradientNorm).toBeGreaterThan(0);
      expect(gradientNorm).toBeLessThanOrEqual(1e-3 * (1 + 1e-5));
      await step.dispose();
    });

    it("shares the whole encoder, and rebuilds or keeps whatever it does not share", () => {
      const shared = sharedParameters(task);
      const encoder = vitParameters(small).map(({ name }) => name);
      expect(shared.slice(0, encoder.length).map(({ name }) => name)).toEqual(encoder);
      const names = new Set(shared.map(({ name }) => name));
      for (const { sharing, follows, learningRateScale, name } of task.parameters) {
        if (sharing === "shared" || sharing === "kept") continue;
        expect(names.has(follows?.parameter ?? ""), name).toBe(true);
        expect(learningRateScale, name).toBe(0);
      }
      const weights = task.initialWeights(7);
      const travelling = sharedWeights(task, weights);
      expect(travelling.length).toBe(vectorLength(manifestOf(shared)));
      const kept = keptAtStart(task, { seed: 7 }, null);
      const atSite = weightsAtSite(task, travelling, { kept, draw: null });
      expect(atSite.length).toBe(weights.length);
      expect(sharedWeights(task, atSite)).toEqual(travelling);
      expect(keptWeights(task, atSite)).toEqual(kept);
    });
  });
}

const volumePlan = (pretext: object): Plan =>
  planOf(pretext, {
    training: { batchSize: 8 },
    volume: { depthPx: 6, sliceSpacingMm: 3, pixelSpacingMm: 3 },
    model: { imagePx: 16, patchPx: 8, dimensions: 3, depthPx: 4, patchDepthPx: 2, channels: 2 },
  });
