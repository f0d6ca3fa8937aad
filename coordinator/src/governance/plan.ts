/** The plan's way into the coordinator: signed once, kept, and never replaced under the same name. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import { auditEvent } from "../audit/events.ts";
import type { Clock } from "../clock.ts";
import type { Store } from "../store/store.ts";

interface PlanPorts {
  readonly store: Store;
  readonly identity: Identity;
  readonly clock: Clock;
}

/** Adds the plans' federations to the store unless they are there already. @throws config.invalid, plan.mismatch */
export async function adoptPlans(plans: Plan | readonly Plan[] | undefined, ports: PlanPorts): Promise<void> {
  const all = plans === undefined ? [] : "federation" in plans ? [plans] : plans;
  if (all.length === 0 && (await ports.store.federations()).length === 0) {
    throw new ConsiliumError("config.invalid", {
      detail: "(the first start needs --plan; `consilium-coordinator plan` writes one)",
      culprits: ["plan"],
    });
  }
  for (const plan of all) {
    if (await isKnown(plan, ports.store)) continue;
    try {
      await create(plan, ports);
    } catch (error) {
      // Another coordinator on the same database may have been faster.
      if (!(await isKnown(plan, ports.store))) throw error;
    }
  }
}

async function create(plan: Plan, { store, identity, clock }: PlanPorts): Promise<void> {
  const { federation } = plan;
  const hash = planHash(plan);
  await store.createFederation(
    { federation, plan: sign("plan", plan, identity), planHash: hash },
    auditEvent(federation, "federation.created", { planHash: hash }, clock.now()),
  );
}

/** @throws plan.mismatch if there is another plan under this name */
async function isKnown(plan: Plan, store: Store): Promise<boolean> {
  const known = (await store.federations()).find((row) => row.federation === plan.federation);
  if (known !== undefined && known.planHash !== planHash(plan)) {
    throw new ConsiliumError("plan.mismatch", {
      detail: "(the home folder holds another plan for this federation)",
      culprits: [plan.federation],
    });
  }
  return known !== undefined;
}
