/**
 * The federation plan: everything that all sites must agree on before they train together.
 * Parsed once, frozen, named by its hash, signed by the coordinator and pinned by each site at enrolment.
 */
import type { z } from "zod";
import { canonicalJson, sha256 } from "./canonical.ts";
import { ConsiliumError } from "./errors.ts";
import type { Sha256 } from "./ids.ts";
import { planSchema, type DeepReadonly, type Plan } from "./plan-schema.ts";

export type { Plan, PlanInput } from "./plan-schema.ts";

/** @throws plan.needs-each-update; plan.invalid, naming each wrong field. */
export function parsePlan(value: unknown): Plan {
  const parsed = planSchema.safeParse(value);
  if (!parsed.success) {
    const issues = parsed.error.issues.flatMap((issue) => innermost(issue, []));
    const needsEach = issues.length === 1 && issues[0]?.needsEach === true;
    throw new ConsiliumError(needsEach ? "plan.needs-each-update" : "plan.invalid", {
      detail: issues.map(({ path, message }) => `${path || "plan"}: ${message}`).join("; "),
      culprits: issues.map(({ path }) => path),
    });
  }
  return deepFreeze(parsed.data);
}

interface WrongField {
  readonly path: string;
  readonly message: string;
  readonly needsEach: boolean;
}

/** Of the forms that a field may have, the one that was meant: its faults lie deepest. */
function innermost(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): readonly WrongField[] {
  const path = [...above, ...issue.path];
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const depth = (one: z.core.$ZodIssue): number => one.path.length;
    const forms = issue.errors.map((form) => ({ form, deepest: Math.max(0, ...form.map(depth)) }));
    const [meant] = forms.toSorted((a, b) => b.deepest - a.deepest);
    if (meant !== undefined) return meant.form.flatMap((one) => innermost(one, path));
  }
  return [
    {
      path: path.join("."),
      message: issue.message,
      needsEach: issue.code === "custom" && issue.params?.code === "plan.needs-each-update",
    },
  ];
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
