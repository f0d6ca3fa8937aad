/** What every site derives alike from the plan before the first round. */
import type { Checkpoint } from "@consilium/shared/codec";
import type { Plan } from "@consilium/shared/plan";
import { manifestOf } from "../model/manifest.ts";
import { pretextTask } from "../pretext/index.ts";
import { sharedParameters, sharedWeights } from "../pretext/sharing.ts";

/** @throws plan.invalid */
export function genesis(plan: Plan): Checkpoint {
  const task = pretextTask(plan);
  return {
    manifest: manifestOf(sharedParameters(task)),
    values: sharedWeights(task, task.initialWeights(plan.seed)),
  };
}
