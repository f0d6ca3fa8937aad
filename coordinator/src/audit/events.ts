/** Facts of the reducer as lines of the audit log. */
import type { FederationId } from "@consilium/shared/ids";
import { isoTime } from "../clock.ts";
import type { Fact } from "../federation/types.ts";
import type { AuditEvent } from "./chain.ts";

export function auditEvent(
  federation: FederationId,
  event: string,
  data: AuditEvent["data"],
  atMs: number,
): AuditEvent {
  return { at: isoTime(atMs), federation, event, data };
}

export function factToAudit(federation: FederationId, fact: Fact, atMs: number): AuditEvent {
  return auditEvent(federation, fact.fact, factData(fact), atMs);
}

/** The numbers and names of a fact, as they go into the audit log, the log and `serve --json`. */
export function factData(fact: Fact): AuditEvent["data"] {
  switch (fact.fact) {
    case "genesis.stored":
      return { checkpoint: fact.record.body.sha256 };
    case "round.opened":
      return { round: fact.round, attempt: fact.attempt, base: fact.base, cohort: fact.cohort };
    case "contribution.accepted": {
      const { site, round, attempt, examples, sealedSha256, sealedBytes } = fact.header.body;
      return { round, attempt, site, examples, sealedSha256, sealedBytes };
    }
    case "contribution.dropped":
      return { round: fact.round, attempt: fact.attempt, site: fact.site, reason: fact.reason };
    case "round.closed":
    case "round.abandoned":
      return {
        round: fact.round,
        attempt: fact.attempt,
        excluded: fact.excluded.map(({ site, reason }) => ({ site, reason })),
      };
    case "round.aggregated": {
      const { sha256, parent, sites } = fact.record.body;
      return { round: fact.round, attempt: fact.attempt, checkpoint: sha256, parent, sites };
    }
    case "federation.finished":
      return { checkpoint: fact.checkpoint };
  }
}
