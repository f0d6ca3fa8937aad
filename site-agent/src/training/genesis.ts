/** What every site derives alike from the plan before the first round. */
import type { Checkpoint } from "@consilium/shared/codec";
import type { Manifest } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import type { Parameter } from "../engine/types.ts";
import { pretextTask } from "../pretext/index.ts";

/** @throws plan.invalid */
export function genesis(plan: Plan): Checkpoint {
  const task = pretextTask(plan);
  return { manifest: manifestOf(task.parameters), values: task.initialWeights(plan.seed) };
}

export function manifestOf(parameters: readonly Parameter[]): Manifest {
  return { tensors: parameters.map(({ name, shape }) => ({ name, shape, dtype: "float32" })) };
}
