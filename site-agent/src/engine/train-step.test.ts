import "@tensorflow/tfjs-backend-cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { createEngine, createReferenceEngine } from "./engine.ts";
import { ADAMW, definition, describeTrainStep, parameter, values } from "./testing/train-step-suite.ts";
import * as tf from "./tf.ts";
import type { Engine, InputSpecs, TrainStepDefinition } from "./types.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1, device: "cpu" });
});

// Both engines run the same program; what holds for one holds for the other.
describeTrainStep("onnx/cpu", () => engine);
describeTrainStep("tfjs/cpu", () => createReferenceEngine("cpu"));

describe("reproducibility", () => {
  it("gives the same bits from two compiled steps, five updates long, for each number of threads", async () => {
    const parameters = [parameter("up", [64, 256]), parameter("down", [256, 64]), parameter("bias", [256])];
    const inputs = { x: { shape: [128, 64], dtype: "float32" } } as const;
    const network: TrainStepDefinition<typeof inputs> = {
      parameters,
      inputs,
      optimizer: ADAMW,
      loss: (weights, { x }) => {
        const get = (name: string): tf.Tensor => weights.get(name) ?? x;
        const hidden = tf.elu(tf.add(tf.matMul(x, get("up")), get("bias")));
        return { loss: tf.mean(tf.squaredDifference(tf.matMul(hidden, get("down")), x)) };
      },
    };
    for (const threads of [1, 2]) {
      const train = async (): Promise<Float32Array> => {
        const random = new Random(3);
        const step = await (await createEngine({ threads, device: "cpu" })).compileTrainStep(network);
        await step.writeWeights(values(random, 2 * 64 * 256 + 256).map((w) => w / 10));
        for (let i = 0; i < 5; i++) await step.run({ x: values(random, 128 * 64) }, 1e-2);
        const weights = await step.readWeights();
        await step.dispose();
        return weights;
      };
      expect(await train()).toEqual(await train());
    }
  });
});

describe("what cannot be compiled", () => {
  const compile = (loss: (w: tf.Tensor, x: tf.Tensor) => tf.Tensor, specs?: InputSpecs): Promise<unknown> =>
    engine.compileTrainStep({
      parameters: [parameter("w", [2, 2])],
      inputs: specs ?? { x: { shape: [2, 2], dtype: "float32" } },
      optimizer: ADAMW,
      loss: (weights, inputs) => ({ loss: loss(weights.get("w") ?? tf.scalar(0), inputs.x ?? tf.scalar(0)) }),
    });

  it("names an operation that has no kernel", async () => {
    const attempt = compile((w) => tf.sum(tf.unique(w).values));
    await expect(attempt).rejects.toMatchObject({ code: "engine.dynamic-shape", culprits: ["Unique"] });
  });

  it("refuses to read a traced value", async () => {
    const read = compile((w) => (w.dataSync()[0] === 0 ? tf.sum(w) : tf.sum(tf.neg(w))));
    await expect(read).rejects.toMatchObject({ code: "engine.data-dependent" });
    await expect(compile((w, x) => tf.sum(tf.mul(w, Number(x.arraySync()))))).rejects.toMatchObject({
      code: "engine.data-dependent",
    });
  });

  it("refuses shapes that are not numbers", async () => {
    const specs = { x: { shape: [-1, 2], dtype: "float32" } } as const;
    await expect(compile((w) => tf.sum(w), specs)).rejects.toMatchObject({ code: "engine.dynamic-shape" });
  });

  it("refuses a batch of another size when it is run", async () => {
    const step = await engine.compileTrainStep(definition([parameter("w", [3])]));
    await expect(step.run({ g: new Float32Array(4) }, 0.1)).rejects.toMatchObject({
      code: "engine.run-failed",
    });
    await step.dispose();
  });
});

describe("next to other users of TF.js", () => {
  afterAll(() => tf.setBackend("cpu"));

  it("leaves backend, tensors and constants as they were, after success and failure", async () => {
    await tf.setBackend("cpu");
    const mine = tf.tensor([1, 2]);
    const before = tf.memory().numTensors;
    const parts = definition([parameter("w", [2])]);
    const step = await engine.compileTrainStep({
      ...parts,
      loss: (weights, { g }) => ({ loss: tf.sum(tf.mul(tf.mul(weights.get("w") ?? g, g), mine)) }),
    });
    await expect(
      engine.compileTrainStep({ ...parts, loss: (_, { g }) => ({ loss: tf.scalar(g.dataSync()[0] ?? 0) }) }),
    ).rejects.toMatchObject({ code: "engine.data-dependent" });
    expect(tf.getBackend()).toBe("cpu");
    expect(tf.memory().numTensors).toBe(before);
    expect([...mine.dataSync()]).toEqual([1, 2]);
    await step.writeWeights(Float32Array.of(3, 4));
    expect((await step.run({ g: Float32Array.of(1, 1) }, 0)).loss).toBe(11);
    await step.dispose();
    mine.dispose();
  });
});
