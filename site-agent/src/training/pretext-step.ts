/** The plan's pretext task as one compiled step. */
import type { Plan } from "@consilium/shared/plan";
import type { AdamWOptions, Engine, StepOptions, TrainStep, TrainStepDefinition } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { pretextTask } from "../pretext/index.ts";
import type { PretextTask } from "../pretext/types.ts";
import { assertDivides } from "./batch-shares.ts";

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
    proximalMu: training.proximalMu,
  };
}

/** From this a thread makes the definition for itself, since functions cannot be sent to it. */
export interface PretextRecipe {
  readonly plan: Plan;
  /** Equal parts into which a batch is cut. */
  readonly parts: number;
}

/**
 * @param encoder only tests give another than the plan's
 * @returns the step on one part of the plan's batch
 * @throws plan.invalid, engine.not-separable if the batch has no such equal parts
 */
export function pretextDefinition(
  { plan, parts }: PretextRecipe,
  encoder?: VitConfig,
): {
  readonly task: PretextTask;
  readonly definition: TrainStepDefinition;
} {
  const task = pretextTask(plan, encoder);
  assertDivides(plan, parts);
  const definition: TrainStepDefinition = {
    parameters: task.parameters,
    inputs: task.inputs(plan.training.batchSize / parts),
    loss: (parameters, inputs) => task.loss(parameters, inputs),
    separable: task.separable,
    optimizer: adamWOptions(plan),
  };
  return { task, definition };
}

/**
 * A step on whole batches of the plan, whatever the parts in which it computes them.
 * @param encoder only tests give another than the plan's
 * @throws plan.invalid, engine.*, engine.not-separable if the batch has no such equal parts
 */
export async function compilePretextStep(
  engine: Engine,
  plan: Plan,
  options: StepOptions = {},
  encoder?: VitConfig,
): Promise<PretextStep> {
  const { task, definition } = pretextDefinition({ plan, parts: options.microBatches ?? 1 }, encoder);
  return { task, step: await engine.compileTrainStep(definition, options) };
}
