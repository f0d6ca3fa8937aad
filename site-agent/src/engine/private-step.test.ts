import "@tensorflow/tfjs-backend-cpu";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import {
  maeArrays,
  maeForward,
  maeInputs,
  maeLoss,
  maeParameters,
  type MaeConfig,
  type MaeInputs,
} from "../pretext/mae.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { cutBatch } from "./batch-parts.ts";
import { createEngine, createReferenceEngine, withScaledLoss } from "./engine.ts";
import { layerNorm } from "./nn.ts";
import { EXAMPLE_NORM, EXAMPLE_WEIGHT } from "./program.ts";
import { expectClose } from "./testing/compare.ts";
import * as tf from "./tf.ts";
import type { Engine, InputArrays, PrivateStepOptions, TrainStepDefinition } from "./types.ts";

/** Small, with layers on either side of the choice that `fromProducts` makes. */
const CONFIG: MaeConfig = {
  encoder: { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 2, heads: 2 },
  decoder: { width: 4, depth: 2, heads: 1 },
  visible: 2,
  normPixLoss: true,
};
const CACHE_PX = 10;
const CACHE = { sizePx: CACHE_PX, depthPx: 1 };
/** Enough for several examples a part, several parts, and a part that is not full. */
const EXAMPLES = 5;
const PART = 3;

/** Without memory and clipping of the whole, AdamW's first moment is the gradient. */
const PLAIN = { beta1: 0, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1e30 };

const definition = (examples: number): TrainStepDefinition<MaeInputs> => ({
  parameters: maeParameters(CONFIG),
  inputs: maeInputs(CONFIG, CACHE, examples),
  loss: (weights, inputs) => ({ loss: maeLoss(maeForward(weights, inputs, CONFIG)) }),
  separable: true,
  optimizer: PLAIN,
});

const silent = (out: Float32Array): void => {
  out.fill(0);
};

const privacy = (changes: Partial<PrivateStepOptions> = {}): PrivateStepOptions => ({
  examples: PART,
  clipL2Norm: 1e30,
  noiseStdDev: 0,
  expectedExamples: EXAMPLES,
  drawNoise: silent,
  ...changes,
});

const random = new Random(4);
/** Biases and norms away from 0 and 1, so that nothing cancels by chance. */
const WEIGHTS = initialWeights(maeParameters(CONFIG), 1).map((value) => value + 0.05 * random.normal());
const BATCH = maeArrays(
  CONFIG,
  CACHE,
  Uint8Array.from({ length: EXAMPLES * CACHE_PX ** 2 }, () => random.below(256)),
  Array.from({ length: EXAMPLES }, () => ({ top: 1, left: 0.5, height: 8, width: 9, flip: true })),
  random,
);

type PrivateBatch = InputArrays<MaeInputs> & { readonly [EXAMPLE_WEIGHT]: Float32Array };

/** The batch filled up to whole parts with its own first examples, which do not count. */
function padded(batch: InputArrays<MaeInputs>): PrivateBatch {
  const length = Math.ceil(EXAMPLES / PART) * PART;
  const filled = Object.entries(batch).map(([name, values]) => {
    const one = values.length / EXAMPLES;
    const whole = new (values.constructor as Uint8ArrayConstructor)(length * one);
    whole.set(values);
    whole.set(values.subarray(0, whole.length - values.length), values.length);
    return [name, whole];
  });
  const counts = Float32Array.from({ length }, (_, i) => (i < EXAMPLES ? 1 : 0));
  return { ...(Object.fromEntries(filled) as InputArrays<MaeInputs>), [EXAMPLE_WEIGHT]: counts };
}

interface Taken {
  readonly gradient: Float32Array;
  readonly norms: Float32Array;
  readonly loss: number;
}

async function privateStep(engine: Engine, options: PrivateStepOptions): Promise<Taken> {
  const step = await engine.compileTrainStep(definition(PART), { privacy: options });
  await step.writeWeights(WEIGHTS);
  const { loss, metrics } = await step.run(padded(BATCH), 0);
  const { firstMoment } = await step.readOptimizerState();
  await step.dispose();
  return { gradient: firstMoment, norms: metrics[EXAMPLE_NORM] ?? new Float32Array(), loss };
}

/** Each example's own gradient, by steps on a single example on TF.js' plain CPU backend. */
async function oneByOne(): Promise<readonly Float32Array[]> {
  const step = await createReferenceEngine("cpu").compileTrainStep(definition(1));
  await step.writeWeights(WEIGHTS);
  const gradients: Float32Array[] = [];
  for (const part of cutBatch(maeInputs(CONFIG, CACHE, 1), BATCH, EXAMPLES)) {
    await step.writeOptimizerState(null);
    await step.run(part, 0);
    gradients.push((await step.readOptimizerState()).firstMoment);
  }
  await step.dispose();
  return gradients;
}

const normOf = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

function relativeError(actual: Float32Array, expected: Float64Array): number {
  const size = Math.sqrt(expected.reduce((sum, value) => sum + value ** 2, 0));
  return Math.sqrt(expected.reduce((sum, value, i) => sum + (value - (actual[i] ?? NaN)) ** 2, 0)) / size;
}

let engine: Engine;
let singles: readonly Float32Array[];
beforeAll(async () => {
  engine = await createEngine({ threads: 1, device: "cpu" });
  singles = await oneByOne();
});

describe.each([
  ["compiled", () => engine],
  ["reference", () => createReferenceEngine("cpu")],
] as const)("the %s step on clipped examples", (_, get) => {
  it("knows each example's norm, and clips each gradient of a masked autoencoder as a loop over them does", async () => {
    const norms = singles.map(normOf);
    const ordered = norms.toSorted((a, b) => a - b);
    // Some are clipped and some are not.
    const clipL2Norm = ((ordered[2] ?? NaN) + (ordered[3] ?? NaN)) / 2;
    const taken = await privateStep(get(), privacy({ clipL2Norm }));
    expectClose(taken.norms.subarray(0, EXAMPLES), norms, 1e-5);

    const expected = new Float64Array(WEIGHTS.length);
    singles.forEach((gradient, example) => {
      const factor = Math.min(1, clipL2Norm / (norms[example] ?? NaN)) / EXAMPLES;
      gradient.forEach((value, i) => {
        expected[i] = (expected[i] ?? NaN) + factor * value;
      });
    });
    expect(relativeError(taken.gradient, expected)).toBeLessThan(1e-5);
  });

  it("is the ordinary step where nothing is clipped and nothing added", async () => {
    const ordinary = await get().compileTrainStep(definition(EXAMPLES));
    await ordinary.writeWeights(WEIGHTS);
    const { loss } = await ordinary.run(BATCH, 0);
    const { firstMoment } = await ordinary.readOptimizerState();
    await ordinary.dispose();
    const taken = await privateStep(get(), privacy());
    expect(relativeError(taken.gradient, Float64Array.from(firstMoment))).toBeLessThan(1e-5);
    // Over all examples of a part, also those that fill it up.
    expect(Math.abs(taken.loss / loss - 1)).toBeLessThan(0.5);
  });
});

describe("noise", () => {
  it("is added once a step, to the sum, before it is divided by the expected number", async () => {
    let draws = 0;
    const ones = (out: Float32Array, stdDev: number): void => {
      draws += out.length;
      out.fill(stdDev);
    };
    const still = await privateStep(engine, privacy({ clipL2Norm: 0.1 }));
    const noisy = await privateStep(engine, privacy({ clipL2Norm: 0.1, noiseStdDev: 7, drawNoise: ones }));
    expect(draws).toBe(WEIGHTS.length);
    expectClose(
      noisy.gradient,
      still.gradient.map((value) => value + 7 / EXAMPLES),
      1e-5,
    );
  });

  it("is all there is when nobody was drawn", async () => {
    const step = await engine.compileTrainStep(definition(PART), {
      privacy: privacy({ noiseStdDev: 2, drawNoise: (out, stdDev) => out.fill(stdDev) }),
    });
    await step.writeWeights(WEIGHTS);
    const nobody = { ...padded(BATCH), [EXAMPLE_WEIGHT]: new Float32Array(2 * PART) };
    const { loss } = await step.run(nobody, 0);
    expect(loss).toBeGreaterThan(0);
    const { firstMoment } = await step.readOptimizerState();
    await step.dispose();
    expectClose(firstMoment, new Float32Array(WEIGHTS.length).fill(2 / EXAMPLES), 1e-6);
  });
});

it("refuses a batch that is not made of whole parts, before anything is computed", async () => {
  const step = await engine.compileTrainStep(definition(PART), { privacy: privacy() });
  for (const length of [0, PART + 1]) {
    const batch = { ...padded(BATCH), [EXAMPLE_WEIGHT]: new Float32Array(length) };
    await expect(step.run(batch, 0)).rejects.toMatchObject({
      code: "engine.run-failed",
      culprits: [EXAMPLE_WEIGHT],
    });
  }
  await step.dispose();
});

describe("what has no gradients of single examples", () => {
  const small = (loss: TrainStepDefinition["loss"]): TrainStepDefinition => ({
    parameters: [{ name: "w", shape: [2], decay: false, learningRateScale: 1 }],
    inputs: { x: { shape: [PART, 2], dtype: "float32" } },
    optimizer: PLAIN,
    separable: true,
    loss,
  });

  it("is refused by name: a parameter that is used outside of the known layers", async () => {
    const attempt = engine.compileTrainStep(
      small((weights, { x }) => ({ loss: tf.mean(tf.mul(x ?? 0, weights.get("w") ?? 0)) })),
      { privacy: privacy() },
    );
    await expect(attempt).rejects.toMatchObject({ code: "privacy.not-per-example", culprits: ["w"] });
  });

  it("is refused by name: a parameter that two layers share, whose norm would be neither's", async () => {
    const attempt = engine.compileTrainStep(
      small((weights, { x = tf.scalar(0) }) => {
        const w = weights.get("w") ?? tf.scalar(0);
        return { loss: tf.mean(layerNorm(layerNorm(x, w, tf.zeros([2])), w, tf.zeros([2]))) };
      }),
      { privacy: privacy() },
    );
    await expect(attempt).rejects.toMatchObject({ code: "privacy.not-per-example", culprits: ["w"] });
  });

  it("is refused: a layer whose rows are no examples", async () => {
    const attempt = engine.compileTrainStep(
      small((weights, { x = tf.scalar(0) }) => {
        const w = weights.get("w") ?? tf.scalar(0);
        return { loss: tf.mean(layerNorm(tf.concat([x, x]), w, tf.zeros([2]))) };
      }),
      { privacy: privacy() },
    );
    await expect(attempt).rejects.toMatchObject({ code: "privacy.not-per-example" });
  });

  it("is refused: a loss that is no mean over examples", async () => {
    const whole = { ...definition(PART), separable: false };
    const attempt = engine.compileTrainStep(whole, { privacy: privacy() });
    await expect(attempt).rejects.toMatchObject({ code: "engine.not-separable" });
  });

  it("is refused: other options, and float16", async () => {
    for (const options of [{ microBatches: 2 }, { recompute: true }]) {
      const attempt = engine.compileTrainStep(definition(PART), { privacy: privacy(), ...options });
      await expect(attempt).rejects.toMatchObject({ code: "privacy.unsupported" });
    }
    const mixed = withScaledLoss(engine).compileTrainStep(definition(PART), { privacy: privacy() });
    await expect(mixed).rejects.toMatchObject({ code: "privacy.unsupported" });
  });
});
