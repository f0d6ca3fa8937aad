/** From what the coordinator says to what the agent believes: signatures against the pinned key, names against the plan. */
import { verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import { tooFew } from "@consilium/shared/secagg/attempt";
import type { Standing } from "./machine.ts";
import type { Membership } from "./session.ts";

/**
 * @param planHash of the plan that this site has agreed to
 * @param plan what it says about masks, and about how many sites it takes to hide one
 * @throws crypto.bad-signature, plan.mismatch, federation.unknown
 * @throws secagg.downgrade if an update is asked for without masks under a plan that masks
 * @throws secagg.too-few-sites if the cohort is smaller than the plan allows
 */
export function believe(
  position: FederationPosition,
  { federation, site, coordinator }: Membership,
  planHash: Sha256,
  { aggregation, minSites }: Pick<Plan, "aggregation" | "minSites">,
): Standing {
  switch (position.phase) {
    case "waiting":
      return { phase: "waiting", genesisWanted: position.genesisWanted };
    case "aggregating":
      return { phase: "aggregating" };
    case "open": {
      const opening = verify("round-opening", position.opening, coordinator);
      assertOurs(opening);
      if (aggregation.secure === "masked") {
        // The steps are not signed: a coordinator that leaves them out must not get what a plain round would send.
        if (position.masking === undefined) throw new ConsiliumError("secagg.downgrade");
        if (opening.cohort.length < minSites) throw tooFew(opening.cohort.length, minSites);
      }
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
      return { phase: "finished", record: position.checkpoint, stopped: position.stopped };
    }
  }

  function assertOurs(named: { readonly federation: string; readonly planHash: Sha256 }): void {
    if (named.federation !== federation) throw new ConsiliumError("federation.unknown");
    if (named.planHash !== planHash) throw new ConsiliumError("plan.mismatch");
  }
}
