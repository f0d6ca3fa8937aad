/** What a site looks at before it takes part in a round, while nothing of the round has left it. */
import type { RoundOpening, MaskingStep } from "@consilium/shared/protocol/round";
import type { AuditWitness } from "./audit-witness.ts";
import type { Gate } from "./gate.ts";
import type { Holding } from "./holding.ts";
import type { RosterKeeper } from "./roster-keeper.ts";

export interface OpeningChecks {
  readonly gate: Pick<Gate, "assertCohort">;
  readonly holding: Pick<Holding, "assertFree">;
  readonly roster: Pick<RosterKeeper, "assertKnown">;
  readonly witness: Pick<AuditWitness, "countersign">;
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
