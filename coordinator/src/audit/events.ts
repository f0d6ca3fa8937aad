/** Facts of the reducer as lines of the audit log. */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import type { FederationId } from "@consilium/shared/ids";
import { isoTime } from "../clock.ts";
import type { Fact } from "../federation/types.ts";
import type { AuditEvent } from "@consilium/shared/audit/chain";

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
    case "masking.opened":
      return { round: fact.round, attempt: fact.attempt, roster: fact.roster };
    case "masking.answered": {
      // Which vector was taken is on record; keys and shares are not.
      const { round, attempt, site, message } = fact;
      const vector = message.step === "mask" ? message.masked.body : null;
      return {
        round,
        attempt,
        site,
        step: message.step,
        ...(vector && { sha256: vector.sha256, bytes: vector.bytes }),
      };
    }
    case "masking.advanced":
      return { round: fact.round, attempt: fact.attempt, step: fact.step, sites: fact.sites };
    case "contribution.late":
      return { round: fact.round, attempt: fact.attempt, site: fact.site };
    case "site.sat-out":
    case "contribution.dropped":
      return { round: fact.round, attempt: fact.attempt, site: fact.site, reason: fact.reason };
    case "round.closed":
    case "round.abandoned":
      return {
        round: fact.round,
        attempt: fact.attempt,
        excluded: fact.excluded.map(({ site, reason }) => ({ site, reason })),
        ...(fact.fact === "round.abandoned" ? fact.failure : {}),
      };
    case "round.aggregated": {
      const { sha256, parent, sites } = fact.record.body;
      const totals = fact.totals === undefined ? {} : { totals: { ...fact.totals } };
      const average = fact.average === null ? {} : { average: fact.average };
      return {
        round: fact.round,
        attempt: fact.attempt,
        checkpoint: sha256,
        parent,
        sites,
        ...average,
        ...totals,
      };
    }
    case "cohort.summed": {
      const { sites, sum } = fact.record.body;
      return { attempt: fact.attempt, sites, sum: sha256(canonicalJson([...sum])) };
    }
    case "cohort.given-up":
      return { attempt: fact.attempt, reason: fact.reason };
    case "model.tried": {
      const { checkpoint, loss, accepted, before } = fact.verdict;
      const { round, attempt, rollbacks } = fact;
      return {
        round,
        attempt,
        checkpoint,
        heldOutLoss: loss,
        accepted,
        ...(before && { lossBefore: before.loss }),
        ...(accepted ? {} : { rollbacks, restored: before?.checkpoint ?? null }),
      };
    }
    case "federation.paused":
    case "federation.resumed":
      return { round: fact.round, attempt: fact.attempt };
    case "trial.ended":
      return { round: fact.round, attempt: fact.attempt, checkpoint: fact.checkpoint };
    case "federation.finished":
      return { checkpoint: fact.checkpoint, ...(fact.stopped && { stopped: fact.stopped }) };
  }
}
