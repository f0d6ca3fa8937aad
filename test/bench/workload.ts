/** The training steps that are measured: masked autoencoders with three quarters of the patches hidden. */
import { parsePlan, type Plan, type PlanInput } from "@consilium/shared/plan";
import { Random } from "../../site-agent/src/dataset/random.ts";
import type { InputArrays, TrainStepDefinition } from "../../site-agent/src/engine/types.ts";
import { maeTask, type MaeInputs } from "../../site-agent/src/pretext/mae.ts";
import { adamWOptions } from "../../site-agent/src/training/pretext-step.ts";

interface Setting {
  readonly title: string;
  readonly model: PlanInput["model"];
  readonly cachePx: number;
  readonly batchSize: number;
}

/** By size, with the batches in which the targets count. */
const SETTINGS = {
  nano: {
    title: "nano/8 at 64 px",
    model: { size: "nano", imagePx: 64, patchPx: 8 },
    cachePx: 96,
    batchSize: 32,
  },
  tiny: {
    title: "ViT-Ti/8 at 64 px",
    model: { size: "tiny", imagePx: 64, patchPx: 8 },
    cachePx: 96,
    batchSize: 64,
  },
  small: {
    title: "ViT-S/16 at 224 px",
    model: { size: "small", imagePx: 224, patchPx: 16 },
    cachePx: 256,
    batchSize: 16,
  },
} as const satisfies Record<string, Setting>;

export type ModelName = keyof typeof SETTINGS;
export const MODEL_NAMES = Object.keys(SETTINGS) as readonly ModelName[];

/** The same in all steps, for there is nothing to learn from noise. */
export const LEARNING_RATE = 1e-4;

/** One step's model, first weights and batch, the same for everyone who runs it. */
export interface Workload {
  /** With the batch, for people. */
  readonly title: string;
  readonly plan: Plan;
  readonly batchSize: number;
  readonly definition: TrainStepDefinition<MaeInputs>;
  readonly weights: Float32Array;
  readonly batch: InputArrays<MaeInputs>;
}

export function workload(name: ModelName, batchSize: number = SETTINGS[name].batchSize): Workload {
  const { title, model, cachePx } = SETTINGS[name];
  const plan = parsePlan({
    federation: "bench",
    title: "Benchmark",
    rounds: 1,
    cachePx,
    model,
    pretext: { task: "mae", maskRatio: 0.75 },
    training: { batchSize, warmupRounds: 0 },
  });
  const task = maeTask(plan);
  const { parameters, loss } = task;
  const random = new Random(1);
  const images = Uint8Array.from({ length: batchSize * cachePx ** 2 }, () => random.below(256));
  return {
    title: `${title}, batch ${batchSize}`,
    plan,
    batchSize,
    definition: {
      parameters,
      inputs: task.inputs(batchSize),
      loss,
      separable: task.separable,
      optimizer: adamWOptions(plan),
    },
    weights: task.initialWeights(1),
    batch: task.prepare(images, random),
  };
}
