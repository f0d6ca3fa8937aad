/** The plan's way into the coordinator: signed once, kept, and never replaced under the same name. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import { auditEvent } from "../audit/events.ts";
import type { Clock } from "../clock.ts";
import type { Store } from "../store/store.ts";

/** Adds the plan's federation to the store unless it is there already. @throws config.invalid, plan.mismatch */
export async function adoptPlan(
  plan: Plan | undefined,
  { store, identity, clock }: { readonly store: Store; readonly identity: Identity; readonly clock: Clock },
): Promise<void> {
  const rows = await store.federations();
  if (plan === undefined) {
    if (rows.length > 0) return;
    throw new ConsiliumError("config.invalid", {
      detail: "(the first start needs --plan; `consilium-coordinator plan` writes one)",
      culprits: ["plan"],
    });
  }
  const hash = planHash(plan);
  const { federation } = plan;
  const known = rows.find((row) => row.federation === federation);
  if (known === undefined) {
    await store.createFederation(
      { federation, plan: sign("plan", plan, identity), planHash: hash },
      auditEvent(federation, "federation.created", { planHash: hash }, clock.now()),
    );
  } else if (known.planHash !== hash) {
    throw new ConsiliumError("plan.mismatch", {
      detail: "(the home folder holds another plan for this federation)",
      culprits: [federation],
    });
  }
}
