/** What a site looks at before it takes part in a round, while nothing of the round has left it. */
import type { RoundOpening, MaskingStep } from "@consilium/shared/protocol/round";
import type { Http } from "../federation/http.ts";
import type { Receipts } from "../federation/receipts.ts";
import type { Membership } from "../federation/session.ts";
import { AuditWitness, type WitnessedHeads } from "./audit-witness.ts";
import type { Gate } from "./gate.ts";
import type { Holding } from "./holding.ts";
import { RosterKeeper, type RosterPorts } from "./roster-keeper.ts";

export interface OpeningPorts extends RosterPorts {
  readonly http: Http;
  readonly receipts: Receipts;
  readonly nowMs: () => number;
  readonly gate: Gate;
  /** Heads of the coordinator's audit log that this site has countersigned. */
  readonly auditHeads: WitnessedHeads;
}

export interface OpeningChecks {
  readonly gate: Gate;
  readonly holding: Holding;
  readonly roster: RosterKeeper;
  readonly witness: AuditWitness;
}

export function openingChecks(ports: OpeningPorts, membership: Membership, holding: Holding): OpeningChecks {
  return {
    gate: ports.gate,
    holding,
    roster: new RosterKeeper(ports, membership),
    witness: new AuditWitness({ ...ports, heads: ports.auditHeads }, membership),
  };
}

/**
 * The policy, the roster and the coordinator's log. Of a masked round only its first step is held up: later ones serve the
 * others, who have begun.
 * @throws policy.*, plan.refused, secagg.roster-changed, roster.*, audit.rewritten, crypto.bad-signature
 */
export async function checkOpening(
  { gate, holding, roster, witness }: OpeningChecks,
  { opening, step }: { readonly opening: RoundOpening; readonly step?: MaskingStep },
  session: string,
): Promise<void> {
  if (step !== undefined && step !== "advertise") return;
  await holding.assertFree();
  await gate.assertCohort(opening.cohort.length);
  // The roster of a masked attempt is shown, and pinned, with its keys.
  if (step === undefined) await roster.assertKnown(opening.cohort, session);
  await witness.countersign(session);
}
