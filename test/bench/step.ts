/**
 * The compiled MAE step against TF.js on WASM: same model, same weights, same batch, same process.
 * A plain matrix product says how much of the machine the step uses.
 */
import "@tensorflow/tfjs-backend-wasm";
import { parsePlan, type PlanInput } from "@consilium/shared/plan";
import { require as requireTypeScript } from "tsx/cjs/api";
import { Random } from "../../site-agent/src/dataset/random.ts";
import { createEngine, createReferenceEngine } from "../../site-agent/src/engine/engine.ts";
import { matrixFlops } from "../../site-agent/src/engine/graph/flops.ts";
import * as tf from "../../site-agent/src/engine/tf.ts";
import { traceTrainStep } from "../../site-agent/src/engine/onnx-runtime.ts";
import type { Engine } from "../../site-agent/src/engine/types.ts";
import { maeTask } from "../../site-agent/src/pretext/mae.ts";
import { adamWOptions } from "../../site-agent/src/training/pretext-step.ts";
import { median, timeInTurns, type Benchmark, type Figure } from "./bench.ts";

const THREADS = 2;
const LEARNING_RATE = 1e-4;
const LEAST_RATIO = 25;
/** float32 sums in another order. */
const LARGEST_LOSS_DIFFERENCE = 1e-4;
const GEMM_SIDE = 1024;
const COMPILED_REPEATS = 15;

/** ViT-Tiny at 64 px, patch 8, three quarters masked. */
const TINY: PlanInput["model"] = { size: "tiny", imagePx: 64, patchPx: 8 };
const NANO: PlanInput["model"] = { ...TINY, size: "nano" };

function prepare(model: PlanInput["model"], batchSize: number) {
  const plan = parsePlan({
    federation: "bench",
    title: "Benchmark",
    rounds: 1,
    cachePx: 64,
    model,
    pretext: { task: "mae", maskRatio: 0.75, decoder: { width: 128, depth: 2, heads: 4 } },
    training: { batchSize, warmupRounds: 0 },
  });
  const task = maeTask(plan);
  const { parameters, inputs, loss } = task;
  const random = new Random(1);
  const images = Uint8Array.from({ length: batchSize * plan.cachePx ** 2 }, () => random.below(256));
  return {
    batchSize,
    definition: { parameters, inputs, loss, optimizer: adamWOptions(plan) },
    weights: task.initialWeights(1),
    batch: task.prepare(images, random),
  };
}

/** A compiled step, ready to be run again and again on the same batch. */
async function start(engine: Engine, { definition, weights, batch }: ReturnType<typeof prepare>) {
  const step = await engine.compileTrainStep(definition);
  await step.writeWeights(weights);
  const losses: number[] = [];
  return {
    losses,
    run: async () => losses.push((await step.run(batch, LEARNING_RATE)).loss),
    dispose: () => step.dispose(),
  };
}

/** One large matrix product. */
async function startGemm(engine: Engine) {
  const shape = [GEMM_SIDE, GEMM_SIDE];
  const product = await engine.compileInference({
    parameters: [{ name: "b", shape, decay: false, learningRateScale: 0 }],
    inputs: { a: { shape, dtype: "float32" } },
    forward: (weights, { a }) => ({ corner: tf.slice(tf.matMul(a, weights.get("b") ?? a), [0, 0], [1, 1]) }),
  });
  const random = new Random(2);
  const matrix = (): Float32Array => Float32Array.from({ length: GEMM_SIDE ** 2 }, () => random.normal());
  await product.writeWeights(matrix());
  const a = matrix();
  return { run: () => product.run({ a }), dispose: () => product.dispose() };
}

/** The gradient rules that TF.js ships, in place of this project's: the comparison is with TF.js as it comes. */
function useShippedGradients(): void {
  requireTypeScript("@tensorflow/tfjs-core/dist/register_all_gradients.js", import.meta.url);
}

/** GFLOP/s in the fastest of some runs: the machine may be busy with other things in the others. */
const bestRate = (flops: number, times: readonly number[]): number => flops / (Math.min(...times) * 1e6);

export const step: Benchmark = {
  name: "step",
  summary: `one MAE training step, compiled against TF.js on WASM, ${THREADS} threads`,
  run: async (log) => {
    const tiny = prepare(TINY, 16);
    const nano = prepare(NANO, 32);
    const [one, two] = await Promise.all([createEngine({ threads: 1 }), createEngine({ threads: THREADS })]);

    log("compiled steps and a matrix product");
    const flops = matrixFlops(traceTrainStep(tiny.definition));
    const gemmFlops = 2 * GEMM_SIDE ** 3;
    const compiled = await start(two, tiny);
    const works = [
      compiled,
      await start(one, tiny),
      await start(two, nano),
      await start(one, nano),
      await startGemm(two),
      await startGemm(one),
    ];
    const times = await timeInTurns(
      works.map(({ run }) => run),
      2,
      COMPILED_REPEATS,
    );
    const [tinyTwo = [], tinyOne = [], nanoTwo = [], nanoOne = [], gemmTwo = [], gemmOne = []] = times;
    for (const { dispose } of works) await dispose();

    log("TF.js on WASM, some seconds a step");
    useShippedGradients();
    const eager = await start(createReferenceEngine("wasm"), tiny);
    const [wasm = []] = await timeInTurns([eager.run], 1, 2);

    const imagesPerSecond = (runs: readonly number[]): number => (tiny.batchSize * 1000) / median(runs);
    const ratio = median(wasm) / median(tinyTwo);
    const difference = Math.max(
      ...eager.losses.map((loss, i) => Math.abs((compiled.losses[i] ?? NaN) / loss - 1)),
    );
    const share = (step: readonly number[], gemm: readonly number[]): number =>
      (100 * bestRate(flops, step)) / bestRate(gemmFlops, gemm);
    const results: Figure[] = [
      { label: "compiled", value: imagesPerSecond(tinyTwo), unit: "images/s" },
      { label: "TF.js on WASM", value: imagesPerSecond(wasm), unit: "images/s" },
      { label: "compiled, a step", value: median(tinyTwo), unit: "ms" },
      { label: "compiled, a step, 1 thread", value: median(tinyOne), unit: "ms" },
      { label: "TF.js on WASM, a step", value: median(wasm), unit: "ms" },
      { label: "matrix work of a step", value: flops / 1e9, unit: "GFLOP" },
      { label: "compiled, matrix work, best", value: bestRate(flops, tinyTwo), unit: "GFLOP/s" },
      { label: "compiled, matrix work, best, 1 thread", value: bestRate(flops, tinyOne), unit: "GFLOP/s" },
      { label: "1024 matrix product, best", value: bestRate(gemmFlops, gemmTwo), unit: "GFLOP/s" },
      { label: "1024 matrix product, best, 1 thread", value: bestRate(gemmFlops, gemmOne), unit: "GFLOP/s" },
      { label: "share of the product's rate", value: share(tinyTwo, gemmTwo), unit: "%" },
      { label: "share of the product's rate, 1 thread", value: share(tinyOne, gemmOne), unit: "%" },
      { label: "nano, batch 32, a step", value: median(nanoTwo), unit: "ms" },
      { label: "nano, batch 32, a step, 1 thread", value: median(nanoOne), unit: "ms" },
      { label: "loss of the first step, compiled", value: compiled.losses[0] ?? NaN, unit: "" },
      { label: "loss of the first step, TF.js", value: eager.losses[0] ?? NaN, unit: "" },
    ];
    return {
      results,
      targets: [
        {
          name: "times as fast as TF.js on WASM",
          value: ratio,
          target: `>= ${LEAST_RATIO}`,
          ok: ratio >= LEAST_RATIO,
        },
        {
          name: "losses differ, relative",
          value: difference,
          target: `<= ${LARGEST_LOSS_DIFFERENCE}`,
          ok: difference <= LARGEST_LOSS_DIFFERENCE,
        },
      ],
    };
  },
};
