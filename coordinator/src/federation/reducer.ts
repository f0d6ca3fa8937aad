/**
 * The round reducer: (state, event) -> {state, facts, effects}. Pure, so that recovery is the same code as the first run.
 *
 * waiting -> open -> aggregating -> open ... -> finished; from open and aggregating back to waiting, or straight to the
 * next attempt, when too few contributions are left. Where updates are masked an open round goes through steps
 * (masking-steps.ts), and its contributions are the vectors of the third; and a round goes before the first, whose
 * vectors say what the sites' images are like. What becomes of an aggregate is acceptance.ts's affair.
 */
import type { Attempt } from "@consilium/shared/ids";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import { isFingerprintRound, type ContributionHeader } from "@consilium/shared/protocol/round";
import { resumed, roundAggregated } from "./acceptance.ts";
import { deadlineExtended } from "./deadlines.ts";
import { excludedFrom } from "./masking-groups.ts";
import { isSentBy, judgeAnswer, judgeStep, withAnswer, withoutAnswer } from "./masking-steps.ts";
import { toContribution, toMaskedContribution } from "./ledger.ts";
import { awaitDeadline, deadlineMs, openNext, tryOpen } from "./opening.ts";
import {
  bySite,
  FIRST_ATTEMPT,
  FIRST_ROUND,
  isCurrent,
  missing,
  unchanged,
  withoutMember,
  withoutSite,
  withPosition,
  withSite,
} from "./state.ts";
import type {
  AggregatingPosition,
  Exclusion,
  FederationEvent,
  FederationState,
  OpenPosition,
  Transition,
} from "./types.ts";

export function transition(state: FederationState, event: FederationEvent): Transition {
  switch (event.type) {
    case "site.enrolled":
      return tryOpen({ ...state, roster: withSite(state.roster, event.site) }, event.atMs);
    case "site.connected": {
      const connected = withSite(state.connected, event.site);
      const claim =
        state.genesis === null ? (state.genesisClaim ?? { site: event.site, sha256: event.genesis }) : null;
      return tryOpen({ ...state, connected, genesisClaim: claim }, event.atMs);
    }
    case "site.disconnected":
      return tryOpen(withoutSite(state, event.site), event.atMs);
    case "site.removed":
      return tryOpen(withoutMember(state, event.site), event.atMs);
    case "genesis.uploaded":
      return genesisUploaded(state, event);
    case "contribution.received":
      return contributionReceived(state, event);
    case "contribution.refused":
      return contributionRefused(state, event);
    case "contribution.lost":
      return contributionLost(state, event);
    case "masking.answered":
      return maskingAnswered(state, event);
    case "site.sat-out":
      return satOut(state, event);
    case "attempt.failed":
      return attemptFailed(state, event);
    case "deadline.passed":
      return deadlinePassed(state, event);
    case "deadline.extended":
      return deadlineExtended(state, event);
    case "gathering.ended":
      return tryOpen(state, event.atMs, { evenIfIncomplete: true });
    case "round.aggregated":
      return roundAggregated(state, event);
    case "cohort.summed":
      return cohortSummed(state, event);
    case "operator.resumed":
      return resumed(state, event.atMs);
    case "coordinator.recovered":
      return recovered(state, event.atMs);
  }
}

/** What would become of this contribution now; `wanted` means that its bytes should be sent. */
export function judge(state: FederationState, header: ContributionHeader): UploadOutcome | "wanted" {
  const { position } = state;
  if (position.phase !== "open" && position.phase !== "aggregating") return "stale";
  // There is no such thing as an open update in a masked round.
  if (state.rules.secure === "masked") return "stale";
  if (header.round !== position.round || header.attempt !== position.attempt) return "stale";
  if (position.contributions.some(({ site }) => site === header.site)) return "duplicate";
  if (position.phase === "aggregating" || !position.cohort.includes(header.site)) return "stale";
  return header.base === position.base ? "wanted" : "stale";
}

/** The initial model that a newcomer must have derived as well; null while nobody has named one. */
export function expectedGenesis(state: FederationState) {
  return state.genesis ?? state.genesisClaim?.sha256 ?? null;
}

type EventOf<T extends FederationEvent["type"]> = Extract<FederationEvent, { type: T }>;

function genesisUploaded(state: FederationState, event: EventOf<"genesis.uploaded">): Transition {
  if (state.genesis !== null) return unchanged(state);
  const { sha256 } = event.record.body;
  const next = tryOpen({ ...state, genesis: sha256, checkpoint: sha256, genesisClaim: null }, event.atMs);
  return { ...next, facts: [{ fact: "genesis.stored", record: event.record }, ...next.facts] };
}

function contributionReceived(state: FederationState, event: EventOf<"contribution.received">): Transition {
  const { position } = state;
  const header = event.header.body;
  if (position.phase !== "open" || judge(state, header) !== "wanted") return unchanged(state);
  const next = goOn(
    withPosition(state, {
      ...position,
      contributions: [...position.contributions, toContribution(header)].sort(bySite),
      refused: position.refused.filter((refusal) => refusal.site !== header.site),
    }),
    event.atMs,
  );
  return { ...next, facts: [{ fact: "contribution.accepted", header: event.header }, ...next.facts] };
}

function contributionRefused(state: FederationState, event: EventOf<"contribution.refused">): Transition {
  const { position } = state;
  if (position.phase !== "open" || !isCurrent(position, event)) return unchanged(state);
  const { site, reason } = event;
  const known = position.contributions.some((contribution) => contribution.site === site);
  if (known || !position.cohort.includes(site)) return unchanged(state);
  const others = position.refused.filter((refusal) => refusal.site !== site);
  const refused = [...others, { site, reason }].sort(bySite);
  const masking = position.masking && withoutAnswer(position.masking, site);
  return goOn(withPosition(state, { ...position, refused, masking }), event.atMs);
}

function maskingAnswered(state: FederationState, event: EventOf<"masking.answered">): Transition {
  const { position } = state;
  if (position.phase !== "open" || position.masking === null || !isCurrent(position, event)) {
    return unchanged(state);
  }
  const { round, attempt, masking } = position;
  const { site, message } = event.answer;
  if (judgeAnswer(masking, message.step, site) !== "wanted") return unchanged(state);
  const vectors = message.step === "mask" ? [toMaskedContribution(message.masked.body)] : [];
  const next = goOn(
    withPosition(state, {
      ...position,
      contributions: [...position.contributions, ...vectors].sort(bySite),
      masking: withAnswer(masking, event.answer),
    }),
    event.atMs,
  );
  return { ...next, facts: [{ fact: "masking.answered", round, attempt, site, message }, ...next.facts] };
}

/** The step need not wait for its site; a vector that is here already stays in the sum. */
function satOut(state: FederationState, event: EventOf<"site.sat-out">): Transition {
  const { position } = state;
  if (position.phase !== "open" || position.masking === null || !isCurrent(position, event)) {
    return unchanged(state);
  }
  const { round, attempt, masking } = position;
  const { site, reason } = event;
  if (judgeAnswer(masking, masking.step, site) !== "wanted") return unchanged(state);
  const refused = [...position.refused, { site, reason }].sort(bySite);
  const left = withPosition(state, { ...position, refused, masking: withoutAnswer(masking, site) });
  const next = goOn(left, event.atMs);
  return { ...next, facts: [{ fact: "site.sat-out", round, attempt, site, reason }, ...next.facts] };
}

function attemptFailed(state: FederationState, event: EventOf<"attempt.failed">): Transition {
  const { position } = state;
  if (position.phase !== "open" && position.phase !== "aggregating") return unchanged(state);
  if (!isCurrent(position, event)) return unchanged(state);
  const { reason, culprits } = event;
  const excluded = position.phase === "open" ? missing(state, position) : position.excluded;
  return abandon(state, position, excluded, event.atMs, { reason, culprits });
}

function contributionLost(state: FederationState, event: EventOf<"contribution.lost">): Transition {
  const { position } = state;
  const { site, reason } = event;
  if (position.phase !== "open" && position.phase !== "aggregating") return unchanged(state);
  if (!isCurrent(position, event)) return unchanged(state);
  const contributions = position.contributions.filter((contribution) => contribution.site !== site);
  if (contributions.length === position.contributions.length) return unchanged(state);
  const dropped = {
    fact: "contribution.dropped",
    round: position.round,
    attempt: position.attempt,
    site,
    reason,
  } as const;
  if (state.rules.secure === "masked" && !(position.phase === "open" && position.masking?.step === "mask")) {
    // The vector is part of a sum that sites have agreed on.
    const failed = attemptFailed(state, { ...event, type: "attempt.failed", culprits: [site] });
    return { ...failed, facts: [dropped, ...failed.facts] };
  }
  if (position.phase === "open") {
    const masking = position.masking && {
      ...position.masking,
      answered: position.masking.answered.filter((other) => other !== site),
    };
    return {
      state: withPosition(state, { ...position, contributions, masking }),
      facts: [dropped],
      effects: [],
    };
  }
  const left: AggregatingPosition = {
    ...position,
    contributions,
    excluded: [...position.excluded, { site, reason }].sort(bySite),
  };
  if (contributions.length < state.rules.minSites) {
    const next = abandon(state, left, left.excluded, event.atMs);
    return { ...next, facts: [dropped, ...next.facts] };
  }
  return {
    state: withPosition(state, left),
    facts: [dropped, closedFact(left)],
    effects: [{ effect: "aggregate", position: left }],
  };
}

function deadlinePassed(state: FederationState, event: EventOf<"deadline.passed">): Transition {
  const { position } = state;
  if (position.phase !== "open" || !isCurrent(position, event)) return unchanged(state);
  if (position.masking !== null) {
    return event.step === position.masking.step
      ? nextStep(state, position, position.masking, { timeIsUp: true, atMs: event.atMs })
      : unchanged(state);
  }
  const excluded = missing(state, position);
  return position.contributions.length >= state.rules.minSites
    ? close(state, position, excluded)
    : abandon(state, position, excluded, event.atMs);
}

/** The sites know what they have in common; now they train. */
function cohortSummed(state: FederationState, event: EventOf<"cohort.summed">): Transition {
  const { position } = state;
  const { attempt, record } = event;
  const isOurs = position.phase === "aggregating" && isFingerprintRound(position.round);
  if (!isOurs || position.attempt !== attempt) return unchanged(state);
  const next = openNext(state, FIRST_ROUND, FIRST_ATTEMPT, event.atMs);
  return {
    ...next,
    facts: [{ fact: "cohort.summed", round: position.round, attempt, record }, ...next.facts],
    effects: [{ effect: "discard-spent" }, ...next.effects],
  };
}

/** Deadlines count from the re-opening: the sites could not work while nobody was there. */
function recovered(state: FederationState, atMs: number): Transition {
  const alone = { ...state, connected: [], genesisClaim: null };
  const { position } = alone;
  switch (position.phase) {
    case "open": {
      const reopened = { ...position, deadlineAtMs: atMs + deadlineMs(state.rules, position) };
      const next = goOn(withPosition(alone, reopened), atMs);
      return {
        ...next,
        effects: [awaitDeadline(state.rules, reopened), ...next.effects],
      };
    }
    case "aggregating":
      return { state: alone, facts: [], effects: [{ effect: "aggregate", position }] };
    case "waiting":
      return unchanged(withPosition(alone, { ...position, gathering: false }));
    case "paused":
    case "finished":
      return unchanged(alone);
  }
}

/** To the next step or to the sum, if nothing more is to be waited for. */
function goOn(state: FederationState, atMs: number): Transition {
  const { position, rules } = state;
  if (position.phase !== "open") return unchanged(state);
  if (position.masking !== null) {
    return nextStep(state, position, position.masking, { timeIsUp: false, atMs });
  }
  const answered = position.contributions.length + position.refused.length;
  const complete = answered === position.cohort.length && position.contributions.length >= rules.minSites;
  return complete ? close(state, position, missing(state, position)) : unchanged(state);
}

function nextStep(
  state: FederationState,
  position: OpenPosition,
  masking: NonNullable<OpenPosition["masking"]>,
  { timeIsUp, atMs }: { readonly timeIsUp: boolean; readonly atMs: number },
): Transition {
  const verdict = judgeStep(state.rules, position.cohort.length, masking, { timeIsUp });
  switch (verdict.then) {
    case "wait":
      return unchanged(state);
    case "abandon":
      return abandon(state, position, missing(state, position), atMs);
    case "close":
      return close(state, position, excludedFrom(state, position));
    case "advance": {
      const { round, attempt } = position;
      const { step, expected: sites } = verdict.masking;
      const masked = { ...position, masking: verdict.masking };
      const advanced = { ...masked, deadlineAtMs: atMs + deadlineMs(state.rules, masked) };
      return {
        state: withPosition(state, advanced),
        facts: [{ fact: "masking.advanced", round, attempt, step, sites }],
        effects: [awaitDeadline(state.rules, advanced)],
      };
    }
  }
}

function close(state: FederationState, position: OpenPosition, excluded: readonly Exclusion[]): Transition {
  const { round, attempt, base, cohort, openedAtMs, contributions } = position;
  const closed: AggregatingPosition = {
    phase: "aggregating",
    round,
    attempt,
    base,
    cohort,
    openedAtMs,
    contributions,
    excluded,
  };
  return {
    state: withPosition(state, closed),
    facts: [closedFact(closed)],
    effects: [{ effect: "aggregate", position: closed }],
  };
}

function abandon(
  state: FederationState,
  position: OpenPosition | AggregatingPosition,
  excluded: readonly Exclusion[],
  atMs: number,
  failure?: { readonly reason: string; readonly culprits: readonly string[] },
): Transition {
  const { round, attempt } = position;
  const givenUp = isFingerprintRound(round) && mayHaveSent(position);
  const next = givenUp
    ? openNext(state, FIRST_ROUND, FIRST_ATTEMPT, atMs)
    : openNext(state, round, (attempt + 1) as Attempt, atMs);
  const why = failure === undefined ? {} : { failure };
  const abandoned = { fact: "round.abandoned", round, attempt, excluded, ...why } as const;
  const reason = failure?.reason ?? "secagg.too-few-sites";
  const facts = givenUp ? [{ fact: "cohort.given-up", round, attempt, reason } as const] : [];
  return {
    state: next.state,
    facts: [abandoned, ...facts, ...next.facts],
    effects: [{ effect: "discard-spent" }, ...next.effects],
  };
}

/** Then a site gives its values into no other sum: two that differ by one site would give that site away. */
const mayHaveSent = (position: OpenPosition | AggregatingPosition): boolean =>
  position.phase === "aggregating" || (position.masking !== null && isSentBy(position.masking.step));

const closedFact = ({ round, attempt, excluded }: AggregatingPosition) =>
  ({ fact: "round.closed", round, attempt, excluded }) as const;
