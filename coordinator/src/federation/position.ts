/** Where the federation stands, as one site is told. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { CheckpointRecord, RoundOpening } from "@consilium/shared/protocol/round";
import type { FederationRow } from "../store/store.ts";
import type { Release } from "./ledger.ts";
import { judgeAnswer } from "./masking-steps.ts";
import type { Fact, FederationState, OpenPosition, Position } from "./types.ts";

/** Signs each opening once, and what is released; all sites are shown the same bytes. */
export class OpeningSigner {
  readonly #identity: Identity;
  readonly #federation: FederationId;
  readonly #planHash: Sha256;
  readonly #decay: number;
  #newest: Signed<RoundOpening> | null = null;
  #average: Signed<CheckpointRecord> | null = null;

  constructor(identity: Identity, { federation, planHash, plan }: FederationRow) {
    this.#identity = identity;
    this.#federation = federation;
    this.#planHash = planHash;
    this.#decay = plan.body.average?.decay ?? NaN;
  }

  /** What a federation that has finished hands out: its last model, or the running average up to it. */
  released({ record, average }: Release): Signed<CheckpointRecord> {
    if (average === null || this.#average?.body.sha256 === average.sha256) return this.#average ?? record;
    const { sha256: parent, ...rest } = record.body;
    const { sha256, models } = average;
    const body = { ...rest, sha256, parent, average: { decay: this.#decay, models } };
    this.#average = sign("checkpoint", body, this.#identity);
    return this.#average;
  }

  opening({
    round,
    attempt,
    base,
    cohort,
  }: Pick<OpenPosition, "round" | "attempt" | "base" | "cohort">): Signed<RoundOpening> {
    const newest = this.#newest;
    if (newest?.body.round === round && newest.body.attempt === attempt) return newest;
    const body = {
      federation: this.#federation,
      round,
      attempt,
      base,
      planHash: this.#planHash,
      cohort: [...cohort],
    };
    this.#newest = sign("round-opening", body, this.#identity);
    return this.#newest;
  }
}

export function positionFor(
  site: SiteId,
  { position, genesis, genesisClaim }: FederationState,
  {
    openings,
    newest,
    nowMs,
  }: {
    readonly openings: Pick<OpeningSigner, "opening" | "released">;
    readonly newest: Release | undefined;
    readonly nowMs: number;
  },
): FederationPosition {
  switch (position.phase) {
    case "waiting":
      return { phase: "waiting", genesisWanted: genesis === null && genesisClaim?.site === site };
    case "open":
      return {
        phase: "open",
        opening: openings.opening(position),
        remainingMs: Math.max(0, position.deadlineAtMs - nowMs),
        contributed: position.contributions.some((contribution) => contribution.site === site),
        ...(position.masking === null
          ? {}
          : {
              masking: {
                step: position.masking.step,
                wanted: judgeAnswer(position.masking, position.masking.step, site) === "wanted",
              },
            }),
      };
    case "paused":
      return { phase: "waiting", genesisWanted: false };
    case "aggregating":
      return { phase: "aggregating", round: position.round };
    case "finished":
      if (newest === undefined) throw new Error("a finished federation has a global model");
      return {
        phase: "finished",
        checkpoint: openings.released(newest),
        ...(position.stopped && { stopped: position.stopped }),
      };
  }
}

/** The sites whose position a change with these facts may have moved; null where it may be anybody's. */
export function movedBy(facts: readonly Fact[]): ReadonlySet<SiteId> | null {
  const sites = facts.map((fact) => {
    switch (fact.fact) {
      case "contribution.accepted":
        return fact.header.body.site;
      case "masking.answered":
        return fact.site;
      default:
        return null;
    }
  });
  const known = sites.filter((site) => site !== null);
  return known.length === 0 || known.length < sites.length ? null : new Set(known);
}

/** Phase, round and attempt, for a log line. */
export function placeIn({ phase, ...rest }: Position) {
  return "round" in rest ? { phase, round: rest.round, attempt: rest.attempt } : { phase };
}
