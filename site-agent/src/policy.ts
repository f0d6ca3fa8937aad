/** What a site allows, whatever a plan says: policy.json in its home. How much privacy may be spent is in privacy.json. */
import { ConsiliumError } from "@consilium/shared/errors";
import { sha256Schema } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import { fewestInSum } from "@consilium/shared/strategy-schema";
import { z } from "zod";
import { hoursSchema } from "./governance/hours.ts";

export const policySchema = z.strictObject({
  schemaVersion: z.literal(1),
  /** Whether this site takes part only where the coordinator sees nothing but the sum of updates. */
  requireSecureAggregation: z.boolean(),
  /** `by-hand`: a plan waits until someone at the site has approved it, or its hash is listed. `automatic`: none waits. */
  planApproval: z.enum(["by-hand", "automatic"]).default("by-hand"),
  /** Hashes of plans that need no approval by hand. */
  allowedPlans: z.array(sha256Schema).readonly().default([]),
  /** Fewest sites in a round, and in a group where the plan has groups summed apart. Under masks there are three or more. */
  minCohort: z.int().min(1).max(10_000).default(2),
  /** When training may run; null is always. */
  hours: hoursSchema.nullable().default(null),
  /** Names of pretext tasks; null is any. */
  pretextTasks: z.array(z.string().min(1).max(40)).readonly().nullable().default(null),
  /** Of the model that is trained, heads and decoder included; null is any number. */
  maxParameters: z.int().min(1).nullable().default(null),
  /** That leave within 24 hours; null is any number. */
  maxBytesPerDay: z.int().min(1).nullable().default(null),
});
export type Policy = z.infer<typeof policySchema>;

export const DEFAULT_POLICY: Policy = policySchema.parse({
  schemaVersion: 1,
  requireSecureAggregation: true,
});

/** In red, where colour shows. */
export const PLAIN_WARNING =
  "\u001b[31mNOT MASKED: under this plan the coordinator can read every update of this site.\u001b[39m";

/** What no approval overrides. @throws policy.plain-refused, policy.cohort-too-small, policy.task-refused */
export function assertAllowed({ aggregation, minSites, pretext }: Plan, policy: Policy): void {
  if (aggregation.secure === "plain" && policy.requireSecureAggregation) {
    throw new ConsiliumError("policy.plain-refused", { culprits: ["aggregation.secure"] });
  }
  // What hides a site is the sum that is opened: a group's, where there are groups, and not the federation's.
  assertCohort(fewestInSum({ aggregation, minSites }), policy);
  if (policy.pretextTasks !== null && !policy.pretextTasks.includes(pretext.task)) {
    throw new ConsiliumError("policy.task-refused", {
      detail: `(${pretext.task})`,
      culprits: ["pretext.task"],
    });
  }
}

/** @throws policy.cohort-too-small */
export function assertCohort(sites: number, { minCohort }: Policy): void {
  if (sites >= minCohort) return;
  throw new ConsiliumError("policy.cohort-too-small", {
    detail: `(${sites} instead of at least ${minCohort})`,
    culprits: ["minSites"],
  });
}

/** @throws policy.model-too-large */
export function assertModel(parameters: number, { maxParameters }: Policy): void {
  if (maxParameters === null || parameters <= maxParameters) return;
  throw new ConsiliumError("policy.model-too-large", {
    detail: `(${parameters} instead of at most ${maxParameters})`,
    culprits: ["model.size"],
  });
}
