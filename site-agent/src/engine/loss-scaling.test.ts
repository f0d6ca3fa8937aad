import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { compilePretextStep } from "../training/pretext-step.ts";
import { toyImages, toyPlan } from "../training/testing/toy.ts";
import { engineOn, withScaledLoss } from "./engine.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { cpuProvider } from "./providers/cpu.ts";
import * as tf from "./tf.ts";
import type { Engine, TrainStepDefinition } from "./types.ts";

const ADAMW = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1e9 };

type Specs = { readonly large: { shape: readonly [1]; dtype: "float32" } };

/** The loss is the sum of the weights; on the way back, the gradient is `large` times what it is in the end. */
const throughLarge: TrainStepDefinition<Specs> = {
  parameters: [{ name: "w", shape: [3], decay: false, learningRateScale: 1 }],
  inputs: { large: { shape: [1], dtype: "float32" } },
  optimizer: ADAMW,
  separable: true,
  loss: (weights, { large }) => {
    const small = tf.div(weights.get("w") ?? large, large);
    return { loss: tf.sum(tf.mul(small, large)), metrics: { twice: tf.mul(large, 2) } };
  },
};

describe("loss scaling", () => {
  let plain: Engine;
  let scaled: Engine;
  beforeAll(() => {
    plain = engineOn(onnxRuntime(cpuProvider(1)));
    scaled = withScaledLoss(plain);
  });

  it("changes neither loss, gradient norm, metrics nor weights", async () => {
    const results = [];
    for (const engine of [plain, scaled]) {
      const step = await engine.compileTrainStep(throughLarge);
      await step.writeWeights(Float32Array.of(1, 2, 3));
      const result = await step.run({ large: Float32Array.of(8) }, 0.1);
      results.push({ ...result, weights: await step.readWeights(), state: await step.readOptimizerState() });
      await step.dispose();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[0]).toMatchObject({ loss: 6, metrics: { twice: Float32Array.of(16) } });
  });

  it("takes half the scale where a gradient overflows, and still makes the update", async () => {
    // 2^16 times this is beyond float32, 2^15 times is not.
    const large = Float32Array.of(2 ** 112);
    for (const microBatches of [1, 2]) {
      const step = await scaled.compileTrainStep(throughLarge, { microBatches });
      const reference = await plain.compileTrainStep(throughLarge, { microBatches });
      const batch = { large: new Float32Array(microBatches).fill(large[0] ?? NaN) };
      for (const one of [step, reference]) await one.writeWeights(Float32Array.of(1, 2, 3));
      for (let update = 1; update <= 2; update++) {
        const result = await step.run(batch, 0.1);
        expect(result.gradientNorm).toBe((await reference.run(batch, 0.1)).gradientNorm);
        expect((await step.readOptimizerState()).step).toBe(update);
      }
      expect(await step.readWeights()).toEqual(await reference.readWeights());
      await step.dispose();
      await reference.dispose();
    }
  });

  it("gives up where no scale helps, and leaves everything as it was", async () => {
    const step = await scaled.compileTrainStep({
      ...throughLarge,
      // A finite loss whose gradient is not.
      loss: (weights) => ({ loss: tf.sum(tf.sqrt(tf.square(tf.mul(weights.get("w") ?? 0, 0)))) }),
    });
    await step.writeWeights(Float32Array.of(1, 2, 3));
    const attempt = step.run({ large: Float32Array.of(1) }, 0.1);
    await expect(attempt).rejects.toMatchObject({ code: "training.diverged" });
    expect(await step.readWeights()).toEqual(Float32Array.of(1, 2, 3));
    await step.dispose();
  });
});

describe("mixed precision", () => {
  it("trains a masked autoencoder as float32 does, within float16's rounding", async () => {
    // ONNX Runtime computes float16 on the CPU, too: by casts around each product.
    const halfOnCpu = { ...cpuProvider(1), longestHalfSum: 1024 };
    const plan = toyPlan();
    const losses: number[][] = [];
    for (const engine of [
      engineOn(onnxRuntime(cpuProvider(1))),
      withScaledLoss(engineOn(onnxRuntime(halfOnCpu, "mixed"))),
    ]) {
      const { task, step } = await compilePretextStep(engine, plan);
      await step.writeWeights(task.initialWeights(1));
      const random = new Random(2);
      const images = toyImages(plan.training.batchSize, plan.cachePx);
      const seen: number[] = [];
      for (let i = 0; i < 12; i++) seen.push((await step.run(task.prepare(images, random), 2e-3)).loss);
      losses.push(seen);
      await step.dispose();
    }
    const [exact = [], mixed = []] = losses;
    expect(mixed).not.toEqual(exact);
    for (const [i, loss] of exact.entries())
      expect(Math.abs((mixed[i] ?? NaN) / loss - 1)).toBeLessThan(0.01);
    expect(mixed.at(-1)).toBeLessThan((mixed[0] ?? 0) * 0.9);
  });

  it("is refused on the CPU", () => {
    expect(() => onnxRuntime(cpuProvider(1), "mixed")).toThrow(
      expect.objectContaining({ code: "engine.no-half-precision" }),
    );
  });
});
