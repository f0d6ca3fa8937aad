/** The plan's pretext task on several devices, as one step. */
import type { Plan } from "@consilium/shared/plan";
import { startReplicas } from "../engine/parallel/replica-group.ts";
import type { EngineOptions, StepOptions } from "../engine/types.ts";
import { pretextDefinition, type PretextRecipe, type PretextStep } from "./pretext-step.ts";

const SCRIPT = new URL("./replica-worker.ts", import.meta.url);

/**
 * A step on whole batches of the plan.
 * @param engines one for each device
 * @throws plan.invalid, engine.*, engine.not-separable if the batch has no such equal parts
 */
export async function startPretextReplicas(
  engines: readonly EngineOptions[],
  plan: Plan,
  options: Pick<StepOptions, "microBatches"> = {},
): Promise<PretextStep> {
  const recipe: PretextRecipe = { plan, parts: engines.length * (options.microBatches ?? 1) };
  const { task, definition } = pretextDefinition(recipe);
  return { task, step: await startReplicas({ script: SCRIPT, recipe, definition, engines, options }) };
}
