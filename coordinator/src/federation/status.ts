/** The federation as operators and the dashboard see it. */
import { printOf, type Print } from "@consilium/shared/crypto/words";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { CohortStatus, ImageComparison } from "@consilium/shared/protocol/fingerprint";
import type { Candidate } from "@consilium/shared/protocol/governance";
import type { HoldMessage, HoldReason } from "@consilium/shared/protocol/hold";
import type { FederationStatus, RoundStatus, SiteStatus } from "@consilium/shared/protocol/http";
import {
  describeEarlyEnd,
  isFingerprintRound,
  isTrialRound,
  roundTitle,
  type MaskingStep,
} from "@consilium/shared/protocol/round";
import { isoTime } from "../clock.ts";
import type { RoundRow, SiteTotals } from "../store/store.ts";
import { healthOf } from "./health.ts";
import type { ModelLayout } from "./layout.ts";
import type { LiveSite } from "./live.ts";
import { awaited, outlookOf } from "./liveness.ts";
import type { Masking } from "./masking-steps.ts";
import { bySite, isCurrent } from "./state.ts";
import type { Contribution, Exclusion, FederationState, OpenPosition, Position } from "./types.ts";

export interface StatusParts {
  readonly plan: Plan;
  readonly planHash: Sha256;
  readonly coordinator: Print;
  /** Null before there is an initial model. */
  readonly layout: ModelLayout | null;
  readonly state: FederationState;
  readonly nowMs: number;
  /** Ordered by round and attempt. */
  readonly rounds: readonly RoundRow[];
  readonly sites: readonly {
    readonly site: SiteId;
    readonly print: Print;
    readonly live: LiveSite;
    readonly hold: HoldMessage | null;
    readonly totals: SiteTotals | undefined;
  }[];
  /** Sites that wait for signatures, and how many each needs. */
  readonly candidates: readonly Candidate[];
  readonly needed: number;
  readonly images: readonly ImageComparison[];
  readonly cohort: CohortStatus;
}

export function federationStatus(parts: StatusParts): FederationStatus {
  const { plan, state } = parts;
  const { position } = state;
  const last = parts.rounds.at(-1);
  const liveOf = new Map(parts.sites.map(({ site, live }) => [site, live]));
  const describeSite = (site: SiteId, position: OpenPosition): string => {
    const live = liveOf.get(site) ?? { lastSeenAtMs: null, pace: null };
    return `${site} (${outlookOf(position, live, state.connected.includes(site), parts.nowMs).text})`;
  };
  return {
    federation: plan.federation,
    plan: plan,
    planHash: parts.planHash,
    coordinatorFingerprint: parts.coordinator.fingerprint,
    coordinatorWords: parts.coordinator.words,
    phase: position.phase,
    summary: [summarise(state, describeSite), ...waits(parts)].join(" "),
    stopped: position.phase === "finished" ? (position.stopped ?? null) : null,
    round: "round" in position && position.phase !== "waiting" ? position.round : (last?.round ?? 0),
    rounds: plan.rounds,
    attempt: "attempt" in position && position.phase !== "waiting" ? position.attempt : (last?.attempt ?? 0),
    step: position.phase === "open" ? (position.masking?.step ?? null) : null,
    deadlineAt: position.phase === "open" ? isoTime(position.deadlineAtMs) : null,
    checkpoint: state.checkpoint,
    average:
      parts.rounds.findLast((row) => row.checkpoint === state.checkpoint && row.average !== null)?.average ??
      null,
    parameters: parts.layout?.parameters ?? null,
    updateParameters: parts.layout?.updateParameters ?? null,
    sites: parts.sites.map(({ site, print, live, hold, totals }): SiteStatus => {
      const connected = state.connected.includes(site);
      return {
        site,
        ...print,
        hold,
        connected,
        lastSeenAt: live.lastSeenAtMs === null ? null : isoTime(live.lastSeenAtMs),
        phase: live.phase,
        done: live.done,
        total: live.total,
        loss: live.loss,
        examples: live.examples,
        contributions: Math.max(0, (totals?.contributions ?? 0) - trialsOf(site, parts)),
        receivedBytes: totals?.receivedBytes ?? 0,
      };
    }),
    candidates: parts.candidates.map(({ site, identity, endorsers }) => ({
      site,
      ...printOf(identity),
      endorsers,
      needed: parts.needed,
    })),
    images: parts.images,
    cohort: parts.cohort,
    // The round before the first has no model and no loss; what came of it is in `cohort`.
    history: parts.rounds
      .filter(({ round }) => !isFingerprintRound(round))
      .map((row) => roundStatus(row, position, plan)),
  };
}

/** What a site sent to try the last model, which is no update. */
const trialsOf = (site: SiteId, { rounds, plan }: StatusParts): number =>
  rounds.filter((row) => isTrialRound(row.round, plan) && row.contributions.some((one) => one.site === site))
    .length;

const HOLDS: Readonly<Record<HoldReason, string>> = {
  "plan-approval": "Waiting for approval of the plan at",
  hours: "Outside its hours of work:",
  bytes: "No more bytes today from",
};

/** One sentence for each reason that keeps sites away, and one for those who wait for the others. */
function waits({ sites, candidates, needed }: StatusParts): readonly string[] {
  const held = Object.entries(HOLDS).flatMap(([reason, text]) => {
    const names = sites.filter(({ hold }) => hold?.reason === reason).map(({ site }) => site);
    return names.length === 0 ? [] : [`${text} ${names.join(", ")}.`];
  });
  const pending = candidates.map(
    ({ site, endorsers }) =>
      `${site} waits to be on the roster: ${endorsers.length} of ${needed} sites have approved it.`,
  );
  return [...held, ...pending];
}

function roundStatus(row: RoundRow, position: Position, { rounds }: Plan): RoundStatus {
  // While a round is open it is only known who was refused or sits out; the store learns it with the others who are missing.
  const excluded = position.phase === "open" && isCurrent(position, row) ? position.refused : row.excluded;
  return {
    round: row.round,
    attempt: row.attempt,
    openedAt: isoTime(row.openedAtMs),
    closedAt: row.closedAtMs === null ? null : isoTime(row.closedAtMs),
    // In the round after the last one nobody trains.
    loss: row.round > rounds ? null : (row.totals?.loss ?? weightedLoss(row.contributions)),
    totals: row.totals,
    health: healthOf(row),
    contributions: row.contributions.map(({ site, examples, metrics }) => ({ site, examples, metrics })),
    excluded: [...excluded, ...leftOutLater(row)].map(({ site, reason }) => ({ site, reason })).sort(bySite),
    checkpoint: row.checkpoint,
    verdict: row.verdict,
  };
}

/** Sites whose group's sum was opened to no avail: it shows only after everybody has answered. */
function leftOutLater({ totals, excluded }: RoundRow): readonly Exclusion[] {
  const groups = totals?.groups?.leftOut ?? [];
  return groups
    .flatMap(({ sites, reason }) => sites.map((site) => ({ site, reason })))
    .filter(({ site }) => !excluded.some((other) => other.site === site));
}

/** Mean loss, weighted by examples; null without contributions, or where they are masked. */
function weightedLoss(contributions: readonly Contribution[]): number | null {
  const examples = contributions.reduce((sum, contribution) => sum + (contribution.examples ?? 0), 0);
  if (examples === 0) return null;
  return contributions.reduce(
    (sum, { metrics, examples: own }) => sum + ((metrics?.loss ?? NaN) * (own ?? NaN)) / examples,
    0,
  );
}

/** What sites are asked for beside the update where updates are masked. */
const ASKED: Readonly<Record<Exclude<MaskingStep, "mask">, string>> = {
  advertise: "keys for this attempt",
  share: "shares of their keys",
  consistency: "signatures on the list of sites in the sum",
  unmask: "the shares that open the sum",
};

function summariseStep(
  { rules }: Pick<FederationState, "rules">,
  { round, refused }: OpenPosition,
  { step, expected, answered }: Masking,
): string {
  const missing = expected.filter((site) => !answered.includes(site));
  const vectors = isFingerprintRound(round) ? "masked fingerprints of their images" : "updates";
  const asked = step === "mask" ? vectors : ASKED[step];
  return `${roundTitle(round, rules)}: ${answered.length} of ${expected.length} sites have sent ${asked}; waiting for ${missing.join(", ")}.${sittingOut(refused)}`;
}

const sittingOut = (refused: readonly Exclusion[]): string =>
  refused.map(({ site, reason }) => ` Without ${site} (${reason}).`).join("");

/** What sites send in a round that has a model already. */
const sent = (round: number, rules: FederationState["rules"]): string =>
  isTrialRound(round, rules) ? "losses" : "updates";

/** "these 2 excluded, because: north (not connected for 3 min 2 s), south (vector.not-finite)" */
export const without = (excluded: readonly Exclusion[]): string =>
  `${excluded.length === 1 ? "this one" : `these ${excluded.length}`} excluded, because: ${excluded
    .map(({ site, reason }) => `${site} (${reason})`)
    .join(", ")}`;

/** One sentence on what is being waited for. @param describe a site that is waited for, for example with its progress */
export function summarise(
  state: FederationState,
  describe: (site: SiteId, position: OpenPosition) => string = (site) => site,
): string {
  const { position, rules, connected, roster } = state;
  switch (position.phase) {
    case "waiting":
      if (roster.length < rules.minSites) {
        return `Waiting for sites to join: ${roster.length} of at least ${rules.minSites} enrolled.`;
      }
      if (connected.length < rules.minSites) {
        return `Waiting for sites: ${connected.length} of at least ${rules.minSites} connected.`;
      }
      if (state.genesis === null) {
        return `Waiting for the initial model from ${state.genesisClaim?.site ?? "a site"}.`;
      }
      return `${isFingerprintRound(position.round) ? "The comparison of images" : roundTitle(position.round, rules)} opens in a moment; ${connected.length} of ${roster.length} sites are there.`;
    case "open": {
      const { contributions, cohort, masking, refused } = position;
      const isSmall = masking?.step !== "mask" || isFingerprintRound(position.round);
      if (masking !== null && isSmall) return summariseStep(state, position, masking);
      const waiting = awaited(position).map((site) => describe(site, position));
      const rest = waiting.length === 0 ? "" : `; waiting for ${waiting.join(", ")}`;
      return `${roundTitle(position.round, rules)}: ${contributions.length} of ${cohort.length} ${sent(position.round, rules)} are here${rest}.${sittingOut(refused)}`;
    }
    case "aggregating": {
      const { contributions, cohort, excluded, round } = position;
      const rest = excluded.length === 0 ? "" : `; ${without(excluded)}`;
      return isFingerprintRound(round)
        ? `${roundTitle(round, rules)}: adding up ${contributions.length} masked fingerprints${rest}.`
        : `${roundTitle(round, rules)}: adding up ${contributions.length} of ${cohort.length} ${sent(round, rules)}${rest}.`;
    }
    case "paused":
      if (position.alarm !== undefined) {
        return `Paused before round ${position.round}: ${position.alarm}. Goes on with consilium-coordinator resume.`;
      }
      return `Paused: ${state.rollbacks} models in a row were worse on held-out images than the one before. Look at who took part (consilium-coordinator status and audit log), then consilium-coordinator resume.`;
    case "finished":
      if (position.stopped !== undefined) return describeEarlyEnd(position.stopped);
      return `Finished after ${rules.rounds} rounds.`;
  }
}
