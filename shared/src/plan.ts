/**
 * The federation plan: everything that all sites must agree on before they train together.
 * Parsed once, frozen, named by its hash, signed by the coordinator and pinned by each site at enrolment.
 */
import { canonicalJson, sha256 } from "./canonical.ts";
import { ConsiliumError } from "./errors.ts";
import type { Sha256 } from "./ids.ts";
import { planSchema, type DeepReadonly, type Plan } from "./plan-schema.ts";

export type { Plan, PlanInput } from "./plan-schema.ts";

/** @throws plan.invalid, naming each wrong field. */
export function parsePlan(value: unknown): Plan {
  const parsed = planSchema.safeParse(value);
  if (!parsed.success) {
    throw new ConsiliumError("plan.invalid", {
      detail: parsed.error.issues.map((i) => `${i.path.join(".") || "plan"}: ${i.message}`).join("; "),
      culprits: parsed.error.issues.map((i) => i.path.join(".")),
    });
  }
  return deepFreeze(parsed.data);
}

/** Names a plan: SHA-256 of its canonical JSON with all defaults filled in. */
export function planHash(plan: Plan): Sha256 {
  return sha256(canonicalJson(plan));
}

function deepFreeze<T extends object>(value: T): DeepReadonly<T> {
  for (const member of Object.values(value))
    if (typeof member === "object" && member !== null) deepFreeze(member as object);
  return Object.freeze(value) as DeepReadonly<T>;
}
