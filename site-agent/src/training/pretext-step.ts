/** The plan's pretext task as one compiled step. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { AdamWOptions, Engine, StepOptions, TrainStep } from "../engine/types.ts";
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

/**
 * A step on whole batches of the plan, whatever the parts in which it computes them.
 * @throws plan.invalid, engine.*, engine.not-separable if the batch has no such equal parts
 */
export async function compilePretextStep(
  engine: Engine,
  plan: Plan,
  options: StepOptions = {},
): Promise<PretextStep> {
  const task = pretextTask(plan);
  const { batchSize } = plan.training;
  const { microBatches = 1 } = options;
  if (batchSize % microBatches !== 0) {
    const detail = `(${batchSize} images in ${microBatches} micro-batches)`;
    throw new ConsiliumError("engine.not-separable", { detail });
  }
  const step = await engine.compileTrainStep(
    {
      parameters: task.parameters,
      inputs: task.inputs(batchSize / microBatches),
      loss: (parameters, inputs) => task.loss(parameters, inputs),
      separable: task.separable,
      optimizer: adamWOptions(plan),
    },
    options,
  );
  return { task, step };
}
