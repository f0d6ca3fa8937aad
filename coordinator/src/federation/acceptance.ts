/**
 * What becomes of an aggregate. Where the plan has models tried, the sites have tried the round's base on images that
 * nobody trains on, and their loss came with the updates: a base that is worse than the model accepted before it goes,
 * and with it what was trained from it. So the last model is tried as well, in one more round that trains nothing.
 * Models that are no better for long end the federation early, where the plan says so (stopping.ts).
 */
import type { Attempt, Round, Sha256 } from "@consilium/shared/ids";
import type { EarlyEnd } from "@consilium/shared/protocol/round";
import { openNext, tryOpen } from "./opening.ts";
import { FIRST_ATTEMPT, isCurrent, unchanged, withPosition } from "./state.ts";
import { afterTrial, earlyEnd } from "./stopping.ts";
import type {
  AggregatingPosition,
  Fact,
  FederationEvent,
  FederationState,
  Transition,
  Verdict,
} from "./types.ts";

type Aggregated = Extract<FederationEvent, { type: "round.aggregated" }>;

export function roundAggregated(state: FederationState, event: Aggregated): Transition {
  const { position } = state;
  const { round } = event.record.body;
  if (position.phase !== "aggregating" || !isCurrent(position, { round, attempt: event.attempt })) {
    return unchanged(state);
  }
  const verdict = judge(state, position, event.heldOutLoss ?? null);
  if (verdict === null) return goOn(state, position, event, []);
  const counted = { ...state, stopping: afterTrial(state.stopping, verdict, state.rules.stop) };
  if (!verdict.accepted) return goBack(counted, position, verdict, event.atMs);
  const { checkpoint, loss } = verdict;
  const tried = { ...counted, accepted: { checkpoint, loss }, rollbacks: 0 };
  const facts = [triedFact(position, verdict, 0)];
  const { attempt } = position;
  const stopped = stopEarly(tried, position.round, (best) => [
    ...facts,
    { fact: "trial.ended", round: position.round, attempt, checkpoint: best },
  ]);
  return stopped ?? goOn(tried, position, event, facts);
}

/** Null where there is nothing to judge: models are not tried, or it is the accepted one again. */
function judge(
  { rules, accepted: before }: FederationState,
  { base: checkpoint }: AggregatingPosition,
  loss: number | null,
): Verdict | null {
  if (rules.acceptance === null || loss === null || before?.checkpoint === checkpoint) return null;
  const accepted = before === null || loss <= before.loss * (1 + rules.acceptance.tolerance);
  return { checkpoint, loss, accepted, before };
}

function goOn(
  state: FederationState,
  { round, attempt, base }: AggregatingPosition,
  event: Aggregated,
  before: readonly Fact[],
): Transition {
  const { rules } = state;
  if (round > rules.rounds) {
    return finish(state, [...before, { fact: "trial.ended", round, attempt, checkpoint: base }]);
  }
  const aggregated: Fact = {
    fact: "round.aggregated",
    round,
    attempt,
    record: event.record,
    serverState: event.serverState ?? null,
    average: event.average ?? null,
    ...(event.totals === undefined ? {} : { totals: event.totals }),
  };
  const facts = [...before, aggregated];
  const updated = { ...state, checkpoint: event.record.body.sha256 };
  if (round === rules.rounds && rules.acceptance === null) return finish(updated, facts);
  const next = (round + 1) as Round;
  if (event.alarm === undefined || round === rules.rounds) {
    return withFacts(openNext(updated, next, FIRST_ATTEMPT, event.atMs), facts);
  }
  const place = { round: next, attempt: FIRST_ATTEMPT };
  return {
    state: withPosition(updated, { phase: "paused", ...place, alarm: event.alarm }),
    facts: [...facts, { fact: "federation.paused", ...place }],
    effects: [{ effect: "discard-spent" }],
  };
}

/** The aggregate was trained from a model that is no good, and goes with it. */
function goBack(
  state: FederationState,
  position: AggregatingPosition,
  verdict: Verdict,
  atMs: number,
): Transition {
  const { round } = position;
  const { rules } = state;
  const rollbacks = state.rollbacks + 1;
  const restored = { ...state, rollbacks, checkpoint: verdict.before?.checkpoint ?? state.checkpoint };
  const facts = [triedFact(position, verdict, rollbacks)];
  if (round > rules.rounds) return finish(restored, facts);
  const attempt = (position.attempt + 1) as Attempt;
  if (rollbacks >= (rules.acceptance?.maxRollbacks ?? Infinity)) {
    return {
      state: withPosition(restored, { phase: "paused", round, attempt }),
      facts: [...facts, { fact: "federation.paused", round, attempt }],
      effects: [{ effect: "discard-spent" }],
    };
  }
  const stopped = stopEarly(restored, round, () => facts);
  return stopped ?? withFacts(openNext(restored, round, attempt, atMs), facts);
}

/**
 * With the best model, where the plan's rule says that it is time; what was trained in this round goes.
 * @param facts that end the attempt with that model
 */
function stopEarly(
  state: FederationState,
  round: Round,
  facts: (checkpoint: Sha256) => readonly Fact[],
): Transition | null {
  const end = round > state.rules.rounds ? null : earlyEnd(state.stopping, state.rules.stop, round);
  if (end === null) return null;
  const { best, stopped } = end;
  return finish({ ...state, checkpoint: best }, facts(best), stopped);
}

/** Counting begins anew. */
export function resumed(state: FederationState, atMs: number): Transition {
  const { position } = state;
  if (position.phase !== "paused") return unchanged(state);
  const { round, attempt } = position;
  const waiting = { phase: "waiting", round, attempt, gathering: false } as const;
  const next = tryOpen(withPosition({ ...state, rollbacks: 0 }, waiting), atMs);
  return { ...next, facts: [{ fact: "federation.resumed", round, attempt }, ...next.facts] };
}

function finish(state: FederationState, facts: readonly Fact[], stopped?: EarlyEnd): Transition {
  const { checkpoint } = state;
  const why = stopped === undefined ? {} : { stopped };
  if (checkpoint === null) throw new Error("a federation that ends has a model");
  return {
    state: withPosition(state, { phase: "finished", ...why }),
    facts: [...facts, { fact: "federation.finished", checkpoint, ...why }],
    effects: [{ effect: "discard-spent" }],
  };
}

const withFacts = (next: Transition, facts: readonly Fact[]): Transition => ({
  state: next.state,
  facts: [...facts, ...next.facts],
  effects: [{ effect: "discard-spent" }, ...next.effects],
});

const triedFact = ({ round, attempt }: AggregatingPosition, verdict: Verdict, rollbacks: number): Fact => ({
  fact: "model.tried",
  round,
  attempt,
  verdict,
  rollbacks,
});
