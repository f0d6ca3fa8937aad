/** The plan's way into the coordinator: signed once, kept, and never replaced under the same name. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { planHash, type Plan } from "@consilium/shared/plan";
import { auditEvent } from "../audit/events.ts";
import type { Clock } from "../clock.ts";
import type { Blobs } from "../blobs/blobs.ts";
import type { Store } from "../store/store.ts";
import { keepStart, type StartingFile } from "./starting-model.ts";

interface PlanPorts {
  readonly store: Store;
  readonly blobs: Blobs;
  /** Files that plans start from, as far as the operator gives them. */
  readonly startFrom: readonly StartingFile[];
  readonly identity: Identity;
  readonly clock: Clock;
}

/**
 * Adds the plans' federations to the store unless they are there already.
 * @throws config.invalid, plan.mismatch, start.missing
 */
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
    await keepStart(plan, ports.startFrom, ports.blobs);
    try {
      await create(plan, ports);
    } catch (error) {
      // Another coordinator on the same database may have been faster.
      if (!(await isKnown(plan, ports.store))) throw error;
    }
  }
  await takeFiles(ports);
}

/** Also for federations that have lost theirs. @throws config.invalid if a file is nobody's */
async function takeFiles({ store, blobs, startFrom }: PlanPorts): Promise<void> {
  const plans = (await store.federations()).map(({ plan }) => plan.body);
  for (const file of startFrom) {
    const takers = plans.filter(({ start }) => start?.sha256 === file.sha256);
    if (takers.length === 0) {
      const detail = "(no plan starts from that file: it is not, byte for byte, the one that a plan names)";
      throw new ConsiliumError("config.invalid", { detail, culprits: ["startFrom"] });
    }
    for (const plan of takers) await keepStart(plan, [file], blobs);
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
