/** What holds for the training step and the forward pass of every engine. */
import { describe, expect, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import * as tf from "../tf.ts";
import type { Engine, Parameter, TrainStepDefinition } from "../types.ts";

export const ADAMW = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipGlobalNorm: 1e9 };

export const parameter = (name: string, shape: number[], options: Partial<Parameter> = {}): Parameter => ({
  name,
  shape,
  decay: true,
  learningRateScale: 1,
  ...options,
});

/** One gradient at will: the loss is the product of weights and input. */
export function definition(
  parameters: readonly Parameter[],
  optimizer = ADAMW,
): TrainStepDefinition<{ g: { shape: readonly number[]; dtype: "float32" } }> {
  const length = parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return {
    parameters,
    optimizer,
    inputs: { g: { shape: [length], dtype: "float32" } },
    loss: (weights, { g }) => {
      const flat = [...weights.values()].map((tensor) => tf.reshape(tensor, [-1]));
      return { loss: tf.sum(tf.mul(tf.concat(flat), g)), metrics: { doubled: tf.mul(g, 2) } };
    },
  };
}

/** AdamW as in the paper (algorithm 2), in float64. */
class PlainAdamW {
  readonly weights: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
  updates = 0;

  constructor(weights: ArrayLike<number>) {
    this.weights = Float64Array.from(weights);
    this.first = new Float64Array(weights.length);
    this.second = new Float64Array(weights.length);
  }

  update(
    gradient: ArrayLike<number>,
    learningRate: number,
    { beta1, beta2, epsilon, weightDecay, clipGlobalNorm }: typeof ADAMW,
    decay: (i: number) => boolean,
    scale: (i: number) => number,
  ): void {
    const norm = Math.hypot(...Array.from(gradient));
    const clip = Math.min(1, clipGlobalNorm / norm);
    this.updates++;
    for (let i = 0; i < this.weights.length; i++) {
      const rate = learningRate * scale(i);
      if (rate === 0) continue;
      const g = (gradient[i] ?? NaN) * clip;
      const [w = NaN, m = NaN, v = NaN] = [this.weights[i], this.first[i], this.second[i]];
      const first = (this.first[i] = beta1 * m + (1 - beta1) * g);
      const second = (this.second[i] = beta2 * v + (1 - beta2) * g * g);
      const unbiased = first / (1 - beta1 ** this.updates);
      const scaleOf = Math.sqrt(second / (1 - beta2 ** this.updates)) + epsilon;
      this.weights[i] = w * (1 - (decay(i) ? rate * weightDecay : 0)) - (rate * unbiased) / scaleOf;
    }
  }
}

export const values = (random: Random, length: number): Float32Array =>
  Float32Array.from({ length }, () => random.normal());

const expectClose = (actual: Float32Array, expected: ArrayLike<number>): void => {
  Array.from(expected).forEach((value, i) => {
    expect(Math.abs((actual[i] ?? NaN) - value)).toBeLessThan(2e-6 * (1 + Math.abs(value)));
  });
};

/** @param get the engine, once the suite runs */
export function describeTrainStep(name: string, get: () => Engine): void {
  describe(`the step on ${name}`, () => {
    it("updates as AdamW does, with decay, layer-wise rates and frozen parameters", async () => {
      const parameters = [
        parameter("matrix", [70, 60]), // large enough for a slot of its own
        parameter("bias", [3], { decay: false }),
        parameter("low", [2, 2], { learningRateScale: 0.25 }),
        parameter("frozen", [2], { learningRateScale: 0 }),
        parameter("bias2", [2], { decay: false }),
        parameter("scalar", []),
      ];
      const random = new Random(1);
      const length = 4200 + 3 + 4 + 2 + 2 + 1;
      const weights = values(random, length);
      const plain = new PlainAdamW(weights);
      const step = await get().compileTrainStep(definition(parameters));
      await step.writeWeights(weights);
      const decay = (i: number): boolean => !((i >= 4200 && i < 4203) || (i >= 4209 && i < 4211));
      const scale = (i: number): number => (i >= 4203 && i < 4207 ? 0.25 : i >= 4207 && i < 4209 ? 0 : 1);
      for (const learningRate of [0.1, 0.02, 0.05]) {
        const g = values(random, length);
        const { loss, metrics } = await step.run({ g }, learningRate);
        const before = plain.weights.reduce((sum, w, i) => sum + w * (g[i] ?? 0), 0);
        expect(Math.abs(loss - before)).toBeLessThan(1e-3);
        expectClose(
          metrics.doubled ?? new Float32Array(),
          g.map((x) => 2 * x),
        );
        plain.update(g, learningRate, ADAMW, decay, scale);
      }
      expectClose(await step.readWeights(), plain.weights);
      const state = await step.readOptimizerState();
      expect(state.step).toBe(3);
      expectClose(state.firstMoment, plain.first);
      expectClose(state.secondMoment, plain.second);
      await step.dispose();
    });

    it("lets parameters follow others, large and small, at a distance, and stays where a step has no effect", async () => {
      const momentum = 0.75;
      const following = (name: string, shape: number[], of: string) =>
        parameter(name, shape, { decay: false, learningRateScale: 0, follows: { parameter: of, momentum } });
      const parameters = [
        parameter("matrix", [70, 60]),
        parameter("bias", [3]),
        parameter("frozen", [2], { learningRateScale: 0 }),
        following("slow matrix", [70, 60], "matrix"),
        following("slow bias", [3], "bias"),
        following("slow frozen", [2], "frozen"),
      ];
      const length = 4200 + 3 + 2;
      const random = new Random(4);
      const weights = values(random, 2 * length);
      const step = await get().compileTrainStep(definition(parameters));
      await step.writeWeights(weights);
      const slow = Float64Array.from(weights.subarray(length));
      for (let i = 0; i < 3; i++) {
        await step.run({ g: values(random, 2 * length) }, 0.05);
        const now = await step.readWeights();
        for (const [j, own] of slow.entries()) slow[j] = momentum * own + (1 - momentum) * (now[j] ?? NaN);
        expectClose(now.subarray(length), slow);
      }
      const before = await step.readWeights();
      const broken = values(random, 2 * length).fill(NaN, 0, 1);
      await expect(step.run({ g: broken }, 0.05)).rejects.toMatchObject({ code: "training.diverged" });
      expect(await step.readWeights()).toEqual(before);
      await step.dispose();
    });

    it("clips by the global norm, and reports the norm before", async () => {
      const optimizer = { ...ADAMW, clipGlobalNorm: 0.5 };
      const step = await get().compileTrainStep(
        definition([parameter("w", [4]), parameter("v", [2])], optimizer),
      );
      const plain = new PlainAdamW(new Float32Array(6));
      await step.writeWeights(new Float32Array(6));
      for (const factor of [1, 0.01]) {
        const g = Float32Array.of(3, -4, 1, 0, 2, 5).map((x) => x * factor);
        const { gradientNorm } = await step.run({ g }, 0.1);
        expect(gradientNorm / Math.hypot(...g)).toBeCloseTo(1, 5);
        plain.update(
          g,
          0.1,
          optimizer,
          () => true,
          () => 1,
        );
      }
      expectClose(await step.readWeights(), plain.weights);
      await step.dispose();
    });

    it("goes on from stored weights and moments as if never interrupted", async () => {
      const parameters = [parameter("w", [3]), parameter("frozen", [2], { learningRateScale: 0 })];
      const random = new Random(2);
      const batches = [1, 2, 3].map(() => values(random, 5));
      const weights = values(random, 5);
      const whole = await get().compileTrainStep(definition(parameters));
      const parts = await get().compileTrainStep(definition(parameters));
      await whole.writeWeights(weights);
      await parts.writeWeights(weights);
      for (const g of batches) await whole.run({ g }, 0.1);
      for (const g of batches) {
        const [kept, state] = [await parts.readWeights(), await parts.readOptimizerState()];
        await parts.run({ g: values(random, 5) }, 1); // someone else's step
        await parts.writeWeights(kept);
        await parts.writeOptimizerState(state);
        await parts.run({ g }, 0.1);
      }
      expectClose(await parts.readWeights(), await whole.readWeights());
      await parts.writeOptimizerState(null);
      expect(await parts.readOptimizerState()).toEqual({
        step: 0,
        firstMoment: new Float32Array(5),
        secondMoment: new Float32Array(5),
      });
      await whole.dispose();
      await parts.dispose();
    });

    it("leaves everything as it was when the loss is no number", async () => {
      const step = await get().compileTrainStep(definition([parameter("w", [3])]));
      await step.writeWeights(Float32Array.of(1, 2, 3));
      await step.run({ g: Float32Array.of(1, 1, 1) }, 0.1);
      const [weights, state] = [await step.readWeights(), await step.readOptimizerState()];
      for (const bad of [NaN, Infinity, 3e38]) {
        const run = step.run({ g: Float32Array.of(bad, -bad, bad) }, 0.1);
        await expect(run).rejects.toMatchObject({ code: "training.diverged" });
      }
      expect(await step.readWeights()).toEqual(weights);
      expect(await step.readOptimizerState()).toEqual(state);
      await step.dispose();
    });

    it("refuses weights and moments of another length", async () => {
      const step = await get().compileTrainStep(definition([parameter("w", [3])]));
      const short = new Float32Array(2);
      const state = { step: 1, firstMoment: short, secondMoment: short };
      await expect(step.writeWeights(short)).rejects.toMatchObject({ code: "frame.wrong-length" });
      await expect(step.writeOptimizerState(state)).rejects.toMatchObject({ code: "frame.wrong-length" });
      await step.dispose();
    });

    it("gives a parameter that the loss does not use a gradient of 0", async () => {
      const { inputs, optimizer } = definition([parameter("w", [2])]);
      const step = await get().compileTrainStep({
        inputs,
        optimizer: { ...optimizer, weightDecay: 0 },
        parameters: [parameter("w", [2]), parameter("unused", [2])],
        loss: (weights, { g }) => ({ loss: tf.sum(tf.mul(weights.get("w") ?? 0, g)) }),
      });
      await step.writeWeights(Float32Array.of(1, 2, 3, 4));
      await step.run({ g: Float32Array.of(1, -1) }, 0.5);
      expectClose(await step.readWeights(), [0.5, 2.5, 3, 4]);
      await step.dispose();
    });

    it("runs with bytes in, all parameters frozen", async () => {
      const step = await get().compileTrainStep({
        parameters: [parameter("w", [2], { learningRateScale: 0 })],
        inputs: { image: { shape: [2], dtype: "uint8" } },
        optimizer: ADAMW,
        loss: (weights, { image }) => ({ loss: tf.sum(tf.mul(weights.get("w") ?? 0, image)) }),
      });
      await step.writeWeights(Float32Array.of(1, 2));
      const { loss, gradientNorm } = await step.run({ image: Uint8Array.of(200, 50) }, 0.5);
      expect([loss, gradientNorm]).toEqual([300, 0]);
      await step.dispose();
    });

    it("infers, and refuses weights of another length", async () => {
      const inference = await get().compileInference({
        parameters: [parameter("w", [2, 2]), parameter("b", [2])],
        inputs: { x: { shape: [3, 2], dtype: "float32" }, which: { shape: [1], dtype: "int32" } },
        forward: (weights, { x, which }) => {
          const y = tf.add(tf.matMul(x, weights.get("w") ?? x), weights.get("b") ?? x);
          return { y, picked: tf.gather(y, which), same: x };
        },
      });
      await inference.writeWeights(Float32Array.of(1, 2, 3, 4, 10, 20));
      const x = Float32Array.of(1, 0, 0, 1, 1, 1);
      const outputs = await inference.run({ x, which: Int32Array.of(2) });
      expect(outputs).toEqual({
        y: Float32Array.of(11, 22, 13, 24, 14, 26),
        picked: Float32Array.of(14, 26),
        same: x,
      });
      await expect(inference.writeWeights(x)).resolves.toBeUndefined();
      await expect(inference.writeWeights(x.subarray(1))).rejects.toMatchObject({
        code: "frame.wrong-length",
      });
      await inference.dispose();
    });
  });
}
