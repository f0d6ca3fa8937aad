/** How many weights a plan's model has: what travels in an update. */
import type { Plan } from "@consilium/shared/plan";
import { vectorLength } from "@consilium/shared/manifest";
import { manifestOf } from "../model/manifest.ts";
import { pretextTask } from "./index.ts";
import { sharedParameters } from "./sharing.ts";

/** @throws plan.invalid */
export const countWeights = (plan: Plan): number =>
  vectorLength(manifestOf(sharedParameters(pretextTask(plan))));
