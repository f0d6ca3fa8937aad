import { elementCount } from "@consilium/shared/manifest";
import { tensorViews } from "@consilium/shared/vector";
import { describe, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import type { TrainStep } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import {
  classifierInference,
  classifierParameters,
  classifierTrainStep,
  featureInference,
  initialClassifierHead,
  type ClassifierInputs,
} from "./classifier.ts";
import { manifestOf } from "../model/manifest.ts";
import { classBatches, type ClassBatches } from "./class-batches.ts";
import { fit, fitSteps } from "./fit.ts";
import { FINETUNE_SETTINGS } from "./finetune-defaults.ts";
import { layerOf } from "./layers.ts";
import { toyCache } from "./testing/toy.ts";
import type { FinetuneSettings } from "./types.ts";
import { viewArrays, wholeImages } from "./views.ts";

const config: VitConfig = { imagePx: 16, patchPx: 4, channels: 1, width: 32, depth: 2, heads: 2 };
const cachePx = 20;
const cached = { sizePx: cachePx, depthPx: 1 };
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1 };
const settings = { ...FINETUNE_SETTINGS, epochs: null, minSteps: 40, maxSteps: 40, learningRate: 3e-3 };

function startWeights(seed: number): Float32Array {
  const encoder = initialWeights(vitParameters(config), seed);
  return Float32Array.of(...encoder, ...initialClassifierHead(config, 2, seed));
}

async function compiled(layerDecay: number, batchSize = 8) {
  const engine = await createEngine({ threads: 1, device: "cpu" });
  const options = { config, classes: 2, cached, batchSize };
  return {
    engine,
    options,
    step: await engine.compileTrainStep(classifierTrainStep(options, layerDecay, optimizer)),
  };
}

function fitTask(
  step: TrainStep<ClassifierInputs>,
  set: Pick<ClassBatches, "cache" | "images"> & { settings: FinetuneSettings },
  seed: number,
) {
  const { images, settings: own } = set;
  const batch = classBatches({ config, classes: ["lower", "upper"], ...set });
  return { step, images: images.length, config, cached, batch, settings: own, seed, validation: null };
}

describe("the classifier", () => {
  it("assigns each weight of the encoder to its layer", () => {
    const layers = classifierParameters(config, 2, 0.5).map(
      ({ name, learningRateScale }) => [name, learningRateScale] as const,
    );
    const scale = new Map(layers);
    expect(scale.get("cls_token")).toBe(0.125);
    expect(scale.get("patch_embed.proj.weight")).toBe(0.125);
    expect(scale.get("blocks.0.attn.qkv.weight")).toBe(0.25);
    expect(scale.get("blocks.1.mlp.fc2.bias")).toBe(0.5);
    expect(scale.get("norm.weight")).toBe(1);
    expect(scale.get("fc_norm.bias")).toBe(1);
    expect(scale.get("head.weight")).toBe(1);
    expect(layerOf("blocks.10.norm1.weight", 12)).toBe(11);
  });

  it("lets lower layers learn less, by the decay", async () => {
    const { step } = await compiled(0.5);
    const before = startWeights(1);
    await step.writeWeights(before);
    const { cache, labels } = toyCache({ images: 8, sizePx: cachePx, seed: 1 });
    const images = cache.records.map(({ image, patient }, index) => ({
      index,
      patient,
      label: labels.get(image) ?? "",
    }));
    const oneStep = { ...settings, batchSize: 8, minSteps: 1, maxSteps: 1, warmup: 0 };
    await fit(fitTask(step, { cache, images, settings: oneStep }, 1), () => Promise.resolve());
    const after = await step.readWeights();
    const manifest = manifestOf(classifierParameters(config, 2, 0.5));
    const [then, now] = [tensorViews(manifest, before), tensorViews(manifest, after)];
    // Adam's first step has the learning rate's length wherever the gradient is not tiny.
    const largest = (name: string) =>
      Math.max(...(now.get(name) ?? []).map((value, i) => Math.abs(value - (then.get(name)?.[i] ?? NaN))));
    const top = largest("head.weight");
    expect(top).toBeGreaterThan(1e-4);
    expect(largest("blocks.1.mlp.fc2.weight") / top).toBeCloseTo(0.5, 1);
    expect(largest("blocks.0.mlp.fc2.weight") / top).toBeCloseTo(0.25, 1);
    expect(largest("patch_embed.proj.weight") / top).toBeCloseTo(0.125, 1);
    await step.dispose();
  });

  it("learns a toy, the same way for the same seed", async () => {
    const { engine, options, step } = await compiled(0.75, 16);
    const { cache, labels } = toyCache({ images: 48, sizePx: cachePx, seed: 2 });
    const images = cache.records.map(({ image, patient }, index) => ({
      index,
      patient,
      label: labels.get(image) ?? "",
    }));
    const task = fitTask(step, { cache, images, settings }, 5);
    const run = async () => {
      await step.writeWeights(startWeights(3));
      await step.writeOptimizerState(null);
      return fit(task, () => Promise.resolve());
    };
    const first = await run();
    const second = await run();
    expect(second.losses).toEqual(first.losses);
    expect(second.weights).toEqual(first.weights);
    const mean = (losses: number[]) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    expect(first.losses).toHaveLength(40);
    expect(mean(first.losses.slice(-8))).toBeLessThan(0.7 * mean(first.losses.slice(0, 8)));

    const inference = await engine.compileInference(classifierInference(options));
    await inference.writeWeights(first.weights);
    const pixels = new Uint8Array(16 * cachePx ** 2);
    cache.read(
      Array.from({ length: 16 }, (_, i) => i),
      pixels,
    );
    const views = viewArrays(config, cached, pixels, wholeImages(cached, 16));
    const { probabilities = new Float32Array() } = await inference.run(views);
    for (let i = 0; i < 16; i++) {
      const [lower = NaN, upper = NaN] = probabilities.subarray(2 * i, 2 * i + 2);
      expect(lower + upper).toBeCloseTo(1, 5);
      expect(upper > lower).toBe(images[i]?.label === "upper");
    }
    await Promise.all([step.dispose(), inference.dispose()]);
  });

  it("gives features of the encoder alone", async () => {
    const engine = await createEngine({ threads: 1, device: "cpu" });
    const inference = await engine.compileInference(featureInference({ config, cached, batchSize: 2 }));
    await inference.writeWeights(initialWeights(vitParameters(config), 1));
    const pixels = Uint8Array.from({ length: 2 * cachePx ** 2 }, (_, i) => (i * 7919) % 251);
    const { features } = await inference.run(viewArrays(config, cached, pixels, wholeImages(cached, 2)));
    expect(features).toHaveLength(2 * config.width);
    expect(features?.every(Number.isFinite)).toBe(true);
    await inference.dispose();
  });

  it("bounds the number of steps, unless the epochs are given", () => {
    const bounds = { epochs: null, usualEpochs: 10, batchSize: 16, minSteps: 50, maxSteps: 200 };
    expect(fitSteps(9, bounds)).toBe(50);
    expect(fitSteps(160, bounds)).toBe(100);
    expect(fitSteps(4000, bounds)).toBe(200);
    expect(fitSteps(40, { ...bounds, epochs: 3 })).toBe(8);
    expect(fitSteps(4000, { ...bounds, epochs: 3 })).toBe(750);
  });

  it("has as many head weights as its shapes say", () => {
    const parameters = classifierParameters(config, 3, 1);
    const encoder = vitParameters(config);
    const head = parameters.slice(encoder.length).reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(initialClassifierHead(config, 3, 1)).toHaveLength(head);
    expect(initialClassifierHead(config, 3, 1)).toEqual(initialClassifierHead(config, 3, 1));
    expect(initialClassifierHead(config, 3, 1)).not.toEqual(initialClassifierHead(config, 3, 2));
  });
});
