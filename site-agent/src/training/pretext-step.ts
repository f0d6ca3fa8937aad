/** The plan's pretext task as one compiled step. */
import type { Plan } from "@consilium/shared/plan";
import type { AdamWOptions, Engine, TrainStep } from "../engine/types.ts";
import { pretextTask } from "../pretext/index.ts";
import type { PretextTask } from "../pretext/types.ts";

export interface PretextStep {
  readonly task: PretextTask;
  readonly step: TrainStep;
}

const ADAM_EPSILON = 1e-8;

export function adamWOptions({ training }: Plan): AdamWOptions {
  return {
    beta1: training.adamBeta1,
    beta2: training.adamBeta2,
    epsilon: ADAM_EPSILON,
    weightDecay: training.weightDecay,
    clipGlobalNorm: training.clipGlobalNorm,
  };
}

/** @throws plan.invalid, engine.* */
export async function compilePretextStep(engine: Engine, plan: Plan): Promise<PretextStep> {
  const task = pretextTask(plan);
  const { parameters, inputs, loss } = task;
  const step = await engine.compileTrainStep({ parameters, inputs, loss, optimizer: adamWOptions(plan) });
  return { task, step };
}
