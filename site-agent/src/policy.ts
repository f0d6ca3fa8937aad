/** What a site allows, whatever a plan says: policy.json in its home. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { z } from "zod";

export const policySchema = z.strictObject({
  schemaVersion: z.literal(1),
  /** Whether this site takes part only where the coordinator sees nothing but the sum of updates. */
  requireSecureAggregation: z.boolean(),
});
export type Policy = z.infer<typeof policySchema>;

export const DEFAULT_POLICY: Policy = { schemaVersion: 1, requireSecureAggregation: true };

/** In red, where colour shows. */
export const PLAIN_WARNING =
  "\u001b[31mNOT MASKED: under this plan the coordinator can read every update of this site.\u001b[39m";

/** @throws policy.plain-refused */
export function assertAllowed({ aggregation }: Plan, { requireSecureAggregation }: Policy): void {
  if (aggregation.secure === "plain" && requireSecureAggregation) {
    throw new ConsiliumError("policy.plain-refused", { culprits: ["aggregation.secure"] });
  }
}
