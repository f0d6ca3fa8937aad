/**
 * The compiled MAE step against TF.js on WASM: same model, same weights, same batch, same process.
 * A plain matrix product says how much of the machine the step uses.
 */
import "@tensorflow/tfjs-backend-wasm";
import { parsePlan, type PlanInput } from "@consilium/shared/plan";
import { require as requireTypeScript } from "tsx/cjs/api";
import { Random } from "../../site-agent/src/dataset/random.ts";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import { matrixFlops } from "../../site-agent/src/engine/graph/flops.ts";
import { createReferenceEngine } from "../../site-agent/src/engine/reference.ts";
import * as tf from "../../site-agent/src/engine/tf.ts";
import { traceTrainStep } from "../../site-agent/src/engine/train-step.ts";
import type { Engine, StepResult } from "../../site-agent/src/engine/types.ts";
import { maeTask } from "../../site-agent/src/pretext/mae.ts";
import { adamWOptions } from "../../site-agent/src/training/pretext-step.ts";
import { median, time, type Benchmark, type Figure } from "./bench.ts";

const THREADS = 2;
const LEARNING_RATE = 1e-4;
const LEAST_RATIO = 25;
/** float32 sums in another order. */
const LARGEST_LOSS_DIFFERENCE = 1e-4;
const GEMM_SIDE = 1024;

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

interface Measured {
  /** Median. */
  readonly milliseconds: number;
  /** Of each step, the warm-up included. */
  readonly losses: readonly number[];
}

async function measure(
  engine: Engine,
  { definition, weights, batch }: ReturnType<typeof prepare>,
  warmUp: number,
  repeats: number,
): Promise<Measured> {
  const step = await engine.compileTrainStep(definition);
  await step.writeWeights(weights);
  const results: StepResult[] = [];
  const times = await time(async () => results.push(await step.run(batch, LEARNING_RATE)), warmUp, repeats);
  await step.dispose();
  return { milliseconds: median(times), losses: results.map(({ loss }) => loss) };
}

/** GFLOP/s of one large matrix product. */
async function gemmRate(engine: Engine): Promise<number> {
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
  const times = await time(() => product.run({ a }), 2, 15);
  await product.dispose();
  return (2 * GEMM_SIDE ** 3) / (median(times) * 1e6);
}

/** The gradient rules that TF.js ships, in place of this project's: the comparison is with TF.js as it comes. */
function useShippedGradients(): void {
  requireTypeScript("@tensorflow/tfjs-core/dist/register_all_gradients.js", import.meta.url);
}

export const step: Benchmark = {
  name: "step",
  summary: `one MAE training step, compiled against TF.js on WASM, ${THREADS} threads`,
  run: async (log) => {
    const tiny = prepare(TINY, 16);
    const nano = prepare(NANO, 32);
    const [one, two] = await Promise.all([createEngine({ threads: 1 }), createEngine({ threads: THREADS })]);

    log("compiled step");
    const flops = matrixFlops(traceTrainStep(tiny.definition));
    const compiled = await measure(two, tiny, 3, 25);
    const compiledOne = await measure(one, tiny, 3, 15);
    const nanoTwo = await measure(two, nano, 3, 25);
    const nanoOne = await measure(one, nano, 3, 15);
    log("matrix product");
    const [gemmOne, gemmTwo] = [await gemmRate(one), await gemmRate(two)];
    log("TF.js on WASM, some seconds a step");
    useShippedGradients();
    const wasm = await measure(createReferenceEngine("wasm"), tiny, 1, 2);

    const rate = (milliseconds: number): number => (tiny.batchSize * 1000) / milliseconds;
    const ratio = wasm.milliseconds / compiled.milliseconds;
    const difference = Math.max(
      ...wasm.losses.map((loss, i) => Math.abs((compiled.losses[i] ?? NaN) / loss - 1)),
    );
    const gflops = flops / (compiled.milliseconds * 1e6);
    const gflopsOne = flops / (compiledOne.milliseconds * 1e6);
    const results: Figure[] = [
      { label: "compiled", value: rate(compiled.milliseconds), unit: "images/s" },
      { label: "TF.js on WASM", value: rate(wasm.milliseconds), unit: "images/s" },
      { label: "compiled, a step", value: compiled.milliseconds, unit: "ms" },
      { label: "compiled, a step, 1 thread", value: compiledOne.milliseconds, unit: "ms" },
      { label: "TF.js on WASM, a step", value: wasm.milliseconds, unit: "ms" },
      { label: "matrix work of a step", value: flops / 1e9, unit: "GFLOP" },
      { label: "compiled, matrix work", value: gflops, unit: "GFLOP/s" },
      { label: "1024 matrix product", value: gemmTwo, unit: "GFLOP/s" },
      { label: "1024 matrix product, 1 thread", value: gemmOne, unit: "GFLOP/s" },
      { label: "share of it that the step reaches", value: (100 * gflops) / gemmTwo, unit: "%" },
      { label: "the same, 1 thread", value: (100 * gflopsOne) / gemmOne, unit: "%" },
      { label: "nano, batch 32, a step", value: nanoTwo.milliseconds, unit: "ms" },
      { label: "nano, batch 32, a step, 1 thread", value: nanoOne.milliseconds, unit: "ms" },
      { label: "loss of the first step, compiled", value: compiled.losses[0] ?? NaN, unit: "" },
      { label: "loss of the first step, TF.js", value: wasm.losses[0] ?? NaN, unit: "" },
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
