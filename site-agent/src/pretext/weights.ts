/** How many weights a plan's model has: what travels in an update. */
import type { Plan } from "@consilium/shared/plan";
import type { PlanWeights } from "@consilium/shared/plan-leaves";
import { vectorLength } from "@consilium/shared/manifest";
import { manifestOf } from "../model/manifest.ts";
import { pretextTask } from "./index.ts";
import { sharedParameters, trainedOf } from "./sharing.ts";

/** @throws plan.invalid */
export const countWeights = (plan: Plan): number =>
  vectorLength(manifestOf(sharedParameters(pretextTask(plan))));

/** Those, and what travels of them. @throws plan.invalid */
export const planWeights = (plan: Plan): PlanWeights => ({
  all: countWeights(plan),
  sent: vectorLength(trainedOf(pretextTask(plan), plan).manifest),
});
