import { createHash } from "node:crypto";
import { elementCount } from "@consilium/shared/manifest";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import "@tensorflow/tfjs-backend-cpu";
import type { Tensor } from "@tensorflow/tfjs-core";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { wholeImage } from "../dataset/crops.ts";
import { Random } from "../dataset/random.ts";
import { recordBytes } from "../dataset/types.ts";
import { wholeVolume } from "../dataset/volume-crops.ts";
import * as tf from "../engine/tf.ts";
import type { InputArrays, InputTensors } from "../engine/types.ts";
import { pretextTask } from "./index.ts";
import { maeArrays, maeConfig, maeForward, maeInputs, maeLoss, maeParameters, maeTask } from "./mae.ts";
import type { MaeConfig, MaeInputs } from "./mae.ts";
import { referenceMaeLoss } from "./testing/reference-mae.ts";

const plan = (
  changes: { cachePx?: number; model?: object; pretext?: object; training?: object } = {},
): Plan =>
  parsePlan({
    federation: "test",
    title: "Test",
    rounds: 2,
    ...changes,
    pretext: { task: "mae", ...changes.pretext },
  });

/** Small enough for finite differences on every weight. */
const TINY: MaeConfig = {
  encoder: { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 1, heads: 2 },
  decoder: { width: 4, depth: 1, heads: 2 },
  visible: 2,
  normPixLoss: true,
};
/** A volume of two layers of patches. */
const TINY_VOLUME: MaeConfig = {
  ...TINY,
  encoder: { ...TINY.encoder, volume: { depthPx: 4, patchDepthPx: 2 } },
  visible: 3,
};
const TINY_BATCH = 2;
const SQUARE = { sizePx: 64, depthPx: 1 };
/** Finite differences: weights of each tensor, and how far each is moved. */
const SAMPLED = 24;
const HALF_WIDTH = 1e-4;
const TINY_PARAMETERS = maeParameters(TINY);

/** Cached as the network sees it. */
const cachedBox = ({ encoder }: MaeConfig) => ({
  sizePx: encoder.imagePx,
  depthPx: encoder.volume?.depthPx ?? 1,
});

/** Initial weights, moved a little, so that no bias is 0 and no norm 1. */
function tinyWeights(parameters = TINY_PARAMETERS): Float64Array[] {
  const random = new Random(11);
  return parameters.map(({ shape }) =>
    Float64Array.from({ length: elementCount(shape) }, () => Math.fround(0.4 * random.normal())),
  );
}

function tinyArrays(config: MaeConfig, seed = 5): InputArrays<MaeInputs> {
  const random = new Random(seed);
  const box = cachedBox(config);
  const length = TINY_BATCH * recordBytes({ ...box, channels: config.encoder.channels });
  const images = Uint8Array.from({ length }, () => random.below(256));
  const crops = Array.from({ length: TINY_BATCH }, () => wholeVolume(box));
  return maeArrays(config, box, images, crops, random);
}

function tensorsOf(arrays: InputArrays<MaeInputs>, config: MaeConfig): InputTensors<MaeInputs> {
  const specs = maeInputs(config, cachedBox(config), TINY_BATCH);
  const tensors = Object.entries(specs).map(([name, { shape, dtype }]) => {
    const values = Array.from(arrays[name as keyof MaeInputs]);
    return [name, tf.tensor(values, [...shape], dtype === "int32" ? "int32" : "float32")];
  });
  return Object.fromEntries(tensors) as InputTensors<MaeInputs>;
}

const weightTensors = (weights: readonly ArrayLike<number>[], parameters = TINY_PARAMETERS): Tensor[] =>
  parameters.map(({ shape }, i) => tf.tensor(Float32Array.from(weights[i] ?? []), [...shape]));

const named = <T>(values: readonly T[], parameters = TINY_PARAMETERS): Map<string, T> =>
  new Map(parameters.map(({ name }, i) => [name, values[i] as T]));

function referenceLoss(
  weights: readonly ArrayLike<number>[],
  arrays: InputArrays<MaeInputs>,
  config: MaeConfig,
): number {
  const pixels = arrays.images.length / TINY_BATCH;
  const patches = arrays.patchOrder.length / TINY_BATCH;
  const each = Array.from({ length: TINY_BATCH }, (_, i) => i);
  return referenceMaeLoss(
    named(weights, maeParameters(config)),
    each.map((i) => arrays.images.subarray(i * pixels, (i + 1) * pixels)),
    each.map((i) => arrays.patchOrder.subarray(i * patches, (i + 1) * patches)),
    config,
  );
}

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe("the MAE loss", () => {
  const variants: Record<string, MaeConfig> = {
    "with standardised patches": TINY,
    "on plain pixels": { ...TINY, normPixLoss: false },
    "on three channels and one visible patch": {
      ...TINY,
      encoder: { ...TINY.encoder, channels: 3, patchPx: 2 },
      visible: 1,
    },
    "on volumes": TINY_VOLUME,
    "on volumes of two channels": {
      ...TINY_VOLUME,
      encoder: { ...TINY_VOLUME.encoder, channels: 2, volume: { depthPx: 6, patchDepthPx: 3 } },
    },
  };
  it.each(Object.entries(variants))("equals the paper's, unshuffled and in float64, %s", (_, config) => {
    const parameters = maeParameters(config);
    const weights = tinyWeights(parameters);
    const arrays = tinyArrays(config);
    const inputs = tensorsOf(arrays, config);
    const forward = maeForward(named(weightTensors(weights, parameters), parameters), inputs, config);
    const expected = referenceLoss(weights, arrays, config);
    expect(maeLoss(forward).dataSync()[0]).toBeCloseTo(expected, 5);
  });

  it.each([
    ["images", TINY],
    ["volumes", TINY_VOLUME],
  ])("has gradients that equal float64 finite differences in every tensor, on %s", (_, config) => {
    const parameters = maeParameters(config);
    const weights = tinyWeights(parameters);
    const arrays = tinyArrays(config);
    const inputs = tensorsOf(arrays, config);
    const { grads } = tf.valueAndGrads((...tensors: Tensor[]) =>
      tf.reshape<tf.Rank.R0>(maeLoss(maeForward(named(tensors, parameters), inputs, config)), []),
    )(weightTensors(weights, parameters));
    for (const [p, { name }] of parameters.entries()) {
      const values = weights[p] ?? new Float64Array();
      const actual = grads[p]?.dataSync() ?? [];
      let error = 0;
      let size = 0;
      for (const i of new Random(p).permutation(values.length).subarray(0, SAMPLED)) {
        const expected = derivative(values, i, () => referenceLoss(weights, arrays, config));
        error += (expected - (actual[i] ?? NaN)) ** 2;
        size += expected ** 2;
      }
      expect(size, name).toBeGreaterThan(0);
      expect(Math.sqrt(error / size), name).toBeLessThan(1e-5);
    }
  });
});

/** Central difference. */
function derivative(values: Float64Array, i: number, loss: () => number): number {
  const centre = values[i] ?? NaN;
  values[i] = centre + HALF_WIDTH;
  const above = loss();
  values[i] = centre - HALF_WIDTH;
  const below = loss();
  values[i] = centre;
  return (above - below) / (2 * HALF_WIDTH);
}

describe("masking", () => {
  it("shows each image its own visible patches; every patch is either visible or a target", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 9 }), (seed, batch) => {
        const config = maeConfig(plan());
        const crops = Array.from({ length: batch }, () => wholeImage(64));
        const { patchOrder } = maeArrays(config, SQUARE, new Uint8Array(), crops, new Random(seed));
        for (let image = 0; image < batch; image++) {
          const order = Array.from(patchOrder.subarray(image * 64, (image + 1) * 64));
          expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i));
        }
      }),
      { numRuns: 30 },
    );
  });

  it("differs from image to image and hides every patch equally often", () => {
    const config = maeConfig(plan());
    const crops = Array.from({ length: 2000 }, () => wholeImage(64));
    const { patchOrder } = maeArrays(config, SQUARE, new Uint8Array(), crops, new Random(1));
    const visible = new Array<number>(64).fill(0);
    const orders = new Set<string>();
    for (let image = 0; image < crops.length; image++) {
      const shown = patchOrder.subarray(image * 64, image * 64 + config.visible);
      orders.add(shown.join());
      for (const patch of shown) visible[patch] = (visible[patch] ?? 0) + 1;
    }
    expect(orders.size).toBe(2000);
    for (const count of visible) expect(Math.abs(count - 500)).toBeLessThan(5 * Math.sqrt(500));
  });

  it("keeps the content of masked patches from the prediction", () => {
    const arrays = tinyArrays(TINY);
    // Reversing the pixels of a masked patch changes the target and keeps the image's mean and variance.
    const hidden = arrays.patchOrder[TINY.visible] ?? 0;
    const at = (i: number) =>
      (Math.floor(hidden / 2) * 4 + Math.floor(i / 4)) * 8 + (hidden % 2) * 4 + (i % 4);
    const images = arrays.images.slice();
    for (let i = 0; i < 16; i++) images[at(i)] = arrays.images[at(15 - i)] ?? 0;
    const weights = named(weightTensors(tinyWeights()));
    const [before, after] = [arrays, { ...arrays, images }].map((a) =>
      maeForward(weights, tensorsOf(a, TINY), TINY),
    );
    const distance = (name: "prediction" | "target") => {
      const [a, b] = [before, after].map((forward) => forward?.[name].dataSync() ?? []);
      return Math.max(...Array.from(a ?? [], (v, i) => Math.abs(v - (b?.[i] ?? NaN))));
    };
    expect(distance("prediction")).toBeLessThan(1e-5);
    expect(distance("target")).toBeGreaterThan(0.1);
  });

  it("leaves at least one patch on either side, whatever the ratio", () => {
    const visible = (maskRatio: number, model: object) =>
      maeConfig(plan({ model, pretext: { maskRatio } })).visible;
    expect(visible(0.75, {})).toBe(16);
    expect(visible(0.9, { imagePx: 80 })).toBe(10);
    expect(visible(0.95, { imagePx: 16 })).toBe(1);
    expect(visible(0.1, { imagePx: 16 })).toBe(3);
  });
});

describe("the MAE task", () => {
  it("has timm's and facebookresearch/mae's names, encoder first, decay on matrices only", () => {
    const { parameters } = maeTask(plan());
    const names = parameters.map(({ name }) => name);
    expect(names.slice(0, 6)).toEqual([
      "cls_token",
      "patch_embed.proj.weight",
      "patch_embed.proj.bias",
      "blocks.0.norm1.weight",
      "blocks.0.norm1.bias",
      "blocks.0.attn.qkv.weight",
    ]);
    expect(names.indexOf("norm.bias") + 1).toBe(names.indexOf("mask_token"));
    expect(names.slice(-4)).toEqual([
      "decoder_norm.weight",
      "decoder_norm.bias",
      "decoder_pred.weight",
      "decoder_pred.bias",
    ]);
    for (const { shape, decay } of parameters) expect(decay).toBe(shape.length === 2);
  });

  it("starts from the same bits on every machine", () => {
    const hash = (seed: number) =>
      createHash("sha256")
        .update(new Uint8Array(pretextTask(plan()).initialWeights(seed).buffer))
        .digest("hex");
    expect(hash(1)).toBe("82a215cfffa23d5f81089a54254ff34f85353571f0f38369ed0571dfaa9d9805");
    expect(hash(2)).not.toBe(hash(1));
  });

  it("starts with the spread that the paper's code gives", () => {
    const task = maeTask(plan());
    const values = task.initialWeights(3);
    let offset = 0;
    for (const { name, shape } of task.parameters) {
      const length = elementCount(shape);
      const part = Array.from(values.subarray(offset, offset + length));
      offset += length;
      const stdDev = Math.sqrt(part.reduce((sum, v) => sum + v * v, 0) / length);
      if (shape.length === 2) {
        const [fanIn = 0, fanOut = 0] = shape;
        const limit = Math.sqrt(6 / (fanIn + fanOut));
        expect(Math.max(...part.map(Math.abs)), name).toBeLessThanOrEqual(Math.fround(limit));
        expect(stdDev / (limit / Math.sqrt(3)), name).toBeCloseTo(1, 1);
      } else if (shape.length === 3) expect(Math.abs(stdDev / 0.02 - 1), name).toBeLessThan(0.3);
      else expect(new Set(part), name).toEqual(new Set([name.endsWith(".bias") ? 0 : 1]));
    }
  });

  it("prepares inputs of the announced sizes, from the seed alone", () => {
    const task = maeTask(plan({ cachePx: 24, model: { imagePx: 16 } }));
    const images = new Uint8Array(3 * 24 * 24);
    const prepared = task.prepare(images, new Random(4));
    const specs = task.inputs(3);
    for (const name of Object.keys(specs) as (keyof MaeInputs)[]) {
      expect(prepared[name], name).toHaveLength(elementCount(specs[name].shape));
    }
    expect(task.prepare(images, new Random(4))).toEqual(prepared);
    expect(task.prepare(images, new Random(5))).not.toEqual(prepared);
  });

  it("refuses a decoder whose width does not fit its heads", () => {
    const odd = plan({ pretext: { decoder: { width: 100, heads: 8 } } });
    expect(() => maeTask(odd)).toThrow(expect.objectContaining({ code: "plan.invalid" }) as Error);
  });
});
