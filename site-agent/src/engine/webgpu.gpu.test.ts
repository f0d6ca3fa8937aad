/** The whole engine on WebGPU: the step's contract, then models, then what it refuses. */
import { elementCount } from "@consilium/shared/manifest";
import { expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { classifierInference, classifierTrainStep, initialClassifierHead } from "../downstream/classifier.ts";
import { encoderParameters } from "../downstream/layers.ts";
import { masksAsLabels } from "../downstream/segmentation/kind.ts";
import { toyVolumes } from "../downstream/testing/toy-volumes.ts";
import { viewArrays, wholeImages } from "../downstream/views.ts";
import { initialWeights } from "../model/initial-weights.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { maeTask } from "../pretext/mae.ts";
import { adamWOptions } from "../training/pretext-step.ts";
import { toyImages, toyPlan } from "../training/testing/toy.ts";
import { tryDevice } from "./devices/trial.ts";
import { createEngine, engineOn } from "./engine.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { cpuProvider } from "./providers/cpu.ts";
import { webGpuProvider } from "./providers/webgpu.ts";
import { gpuTests, testsAllGpuCases } from "./testing/gpu.ts";
import { ADAMW, describeTrainStep, parameter } from "./testing/train-step-suite.ts";
import * as tf from "./tf.ts";
import type { InputArrays, InputSpecs, TrainStepDefinition } from "./types.ts";

const gpu = engineOn(onnxRuntime(webGpuProvider()));
const cpu = engineOn(onnxRuntime(cpuProvider(1)));

/** Loss, gradient, weights and moments after a few updates, on the GPU and on the CPU. */
async function expectSameTraining<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  weights: Float32Array,
  inputs: InputArrays<I>,
  updates: number,
): Promise<void> {
  const [expected, actual] = [await cpu.compileTrainStep(definition), await gpu.compileTrainStep(definition)];
  for (const step of [expected, actual]) await step.writeWeights(weights);
  for (let i = 0; i < updates; i++) {
    const [right, result] = [await expected.run(inputs, 1e-4), await actual.run(inputs, 1e-4)];
    expect(Math.abs(result.loss / right.loss - 1)).toBeLessThan(1e-5);
    expect(Math.abs(result.gradientNorm / right.gradientNorm - 1)).toBeLessThan(1e-4);
  }
  const [right, result] = [await expected.readOptimizerState(), await actual.readOptimizerState()];
  expect(distance(result.firstMoment, right.firstMoment)).toBeLessThan(1e-4);
  expect(distance(result.secondMoment, right.secondMoment)).toBeLessThan(1e-4);
  expect(distance(await actual.readWeights(), await expected.readWeights())).toBeLessThan(1e-4);
  await Promise.all([expected.dispose(), actual.dispose()]);
}

/** |a - b| / |b| */
function distance(a: Float32Array, b: Float32Array): number {
  const square = (values: Float32Array): number => values.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(square(a.map((value, i) => value - (b[i] ?? NaN))) / square(b));
}

gpuTests(() => {
  describeTrainStep("onnx/webgpu", () => gpu);

  it("is found by a first try in a process of its own, and then opened", async () => {
    const trial = await tryDevice("webgpu");
    expect(trial).toMatchObject({ usable: true });
    expect((await createEngine({ threads: 1, device: "webgpu" })).name).toBe("onnx/webgpu");
    const mixed = createEngine({ threads: 1, device: "webgpu", precision: "mixed" });
    if (trial.usable && trial.half) expect((await mixed).name).toContain("mixed");
    else await expect(mixed).rejects.toMatchObject({ code: "engine.no-half-precision" });
  });

  it("trains a masked autoencoder as the CPU does", async () => {
    const plan = toyPlan({ batchSize: 2 });
    const task = maeTask(plan);
    const inputs = task.inputs(plan.training.batchSize);
    const definition = { ...task, inputs, optimizer: adamWOptions(plan) };
    const images = toyImages(plan.training.batchSize, plan.cachePx);
    await expectSameTraining(definition, task.initialWeights(1), task.prepare(images, new Random(2)), 1);
  });

  it("fine-tunes a classifier as the CPU does, and infers with it", async () => {
    const config: VitConfig = { imagePx: 16, patchPx: 4, channels: 1, width: 32, depth: 1, heads: 2 };
    const cached = { sizePx: 20, depthPx: 1 };
    const options = { config, classes: 2, cached, batchSize: 4 };
    const optimizer = { ...ADAMW, clipGlobalNorm: 1 };
    const weights = Float32Array.of(
      ...initialWeights(vitParameters(config), 1),
      ...initialClassifierHead(config, 2, 1),
    );
    const views = viewArrays(config, cached, toyImages(4, 20), wholeImages(cached, 4));
    const targets = {
      targets: Float32Array.of(1, 0, 0, 1, 1, 0, 0, 1),
      weights: Float32Array.of(1, 1, 2, 1),
    };
    await expectSameTraining(
      classifierTrainStep(options, 0.5, optimizer),
      weights,
      { ...views, ...targets },
      2,
    );

    const inference = classifierInference(options);
    expect(weights).toHaveLength(
      inference.parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    );
    const probabilities = await Promise.all(
      [cpu, gpu].map(async (engine) => {
        const compiled = await engine.compileInference(inference);
        await compiled.writeWeights(weights);
        const outputs = await compiled.run(views);
        await compiled.dispose();
        return outputs.probabilities ?? new Float32Array();
      }),
    );
    const [right = new Float32Array(), result = new Float32Array()] = probabilities;
    expect(right).toHaveLength(8);
    expect(distance(result, right)).toBeLessThan(1e-5);
  });

  const slow = testsAllGpuCases ? "" : " (skipped: slow on the software driver; CONSILIUM_TEST_GPU=all)";
  it.skipIf(!testsAllGpuCases)(`learns masks of volumes as the CPU does${slow}`, async () => {
    const volume = { depthPx: 4, patchDepthPx: 2 };
    const config: VitConfig = { imagePx: 8, patchPx: 4, channels: 1, volume, width: 16, depth: 1, heads: 2 };
    const set = toyVolumes({ volumes: 2, sizePx: 8, depthPx: 4, seed: 1 });
    const kind = masksAsLabels(set, config, "unetr");
    const weights = Float32Array.of(...initialWeights(vitParameters(config), 1), ...kind.initialHead(1));
    const images = kind.labelled(set);
    const batch = kind.batches(set, images)(images, wholeImages(set.cache, 2));
    const parameters = [...encoderParameters(config, 1), ...kind.headParameters];
    const optimizer = { ...ADAMW, clipGlobalNorm: 1 };
    await expectSameTraining(kind.trainStep(2, parameters, optimizer), weights, batch, 1);
  });

  it("names the operator that WebGPU lacks", async () => {
    const specs = { x: { shape: [3], dtype: "int32" } } as const;
    const definition: TrainStepDefinition<typeof specs> = {
      parameters: [parameter("w", [3])],
      inputs: specs,
      optimizer: ADAMW,
      loss: (weights, { x }) => {
        const bits = tf.engine().runKernel<tf.Tensor>("BitwiseAnd", { a: x, b: x });
        return { loss: tf.sum(tf.mul(weights.get("w") ?? 0, tf.cast(bits, "float32"))) };
      },
    };
    await expect(gpu.compileTrainStep(definition)).rejects.toMatchObject({
      code: "engine.unsupported-op",
      culprits: ["BitwiseAnd(int32, int32)"],
    });
  });
});
