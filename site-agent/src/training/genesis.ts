/** What every site derives alike from the plan before the first round. */
import type { Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { manifestOf } from "../model/manifest.ts";
import { pretextTask } from "../pretext/index.ts";
import { sharedParameters, sharedWeights } from "../pretext/sharing.ts";
import { startFrom } from "./start.ts";
import type { Genesis } from "./types.ts";

/**
 * @param start the file that the plan starts from, where it names one
 * @throws plan.invalid, start.missing, what startFrom throws
 */
export function genesis(plan: Plan, start: Uint8Array | null = null): Genesis {
  const task = pretextTask(plan);
  const drawn: Checkpoint = {
    manifest: manifestOf(sharedParameters(task)),
    values: sharedWeights(task, task.initialWeights(plan.seed)),
  };
  if (plan.start === undefined) return { ...drawn, changes: [] };
  if (start === null) throw new ConsiliumError("start.missing");
  return startFrom(drawn, plan, start);
}
