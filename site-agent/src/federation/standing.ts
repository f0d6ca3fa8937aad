/** From what the coordinator says to what the agent believes: signatures against the pinned key, names against the plan. */
import { verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { Standing } from "./machine.ts";
import type { Membership } from "./session.ts";

/** @throws crypto.bad-signature, plan.mismatch, federation.unknown */
export function believe(
  position: FederationPosition,
  { federation, site, coordinator }: Membership,
  planHash: Sha256,
): Standing {
  switch (position.phase) {
    case "waiting":
      return { phase: "waiting", genesisWanted: position.genesisWanted };
    case "aggregating":
      return { phase: "aggregating" };
    case "open": {
      const opening = verify("round-opening", position.opening, coordinator);
      assertOurs(opening);
      return {
        phase: "open",
        opening,
        contributed: position.contributed,
        inCohort: opening.cohort.includes(site),
        masking: position.masking,
      };
    }
    case "finished": {
      assertOurs(verify("checkpoint", position.checkpoint, coordinator));
      return { phase: "finished", record: position.checkpoint };
    }
  }

  function assertOurs(named: { readonly federation: string; readonly planHash: Sha256 }): void {
    if (named.federation !== federation) throw new ConsiliumError("federation.unknown");
    if (named.planHash !== planHash) throw new ConsiliumError("plan.mismatch");
  }
}
