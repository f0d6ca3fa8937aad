/** A federation as the last commit left it, out of the store's rows. */
import type { Attempt, Round, Sha256, SiteId } from "@consilium/shared/ids";
import { isFingerprintRound, type CheckpointRecord, type EarlyEnd } from "@consilium/shared/protocol/round";
import { groupSitesOf } from "@consilium/shared/strategy-schema";
import type { Blobs } from "../blobs/blobs.ts";
import { RosterBook } from "../governance/roster-book.ts";
import type { CohortRow, FederationRow, RoundRow, Store } from "../store/store.ts";
import { alarmAfter } from "./health.ts";
import { readLayout, type ModelLayout } from "./layout.ts";
import { Ledger } from "./ledger.ts";
import { groupingAtFirst } from "./masking-groups.ts";
import { restoreMasking } from "./masking-steps.ts";
import { afterTrial, earlyEnd, NOTHING_TRIED, type Stopping } from "./stopping.ts";
import { FIRST_ATTEMPT, FIRST_ROUND, initialState } from "./state.ts";
import type { FederationState, Position, Rules } from "./types.ts";

export interface StoredFederation {
  readonly roster: readonly SiteId[];
  /** Ordered by round; the first is the initial model. */
  readonly checkpoints: readonly CheckpointRecord[];
  /** Ordered by round and attempt. */
  readonly rounds: readonly RoundRow[];
  /** Why a person was to look after the newest of them. */
  readonly alarm?: string | undefined;
  /** What became of the round before the first. */
  readonly cohort: CohortRow | null;
}

export interface RecoveredFederation {
  readonly state: FederationState;
  readonly ledger: Ledger;
  readonly book: RosterBook;
  /** Null before there is an initial model. */
  readonly layout: ModelLayout | null;
}

export interface RecoveryPorts {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly gatherMs: number;
}

export async function recoverFederation(
  { store, blobs, gatherMs }: RecoveryPorts,
  { federation, plan }: FederationRow,
): Promise<RecoveredFederation> {
  const { rounds, minSites, roundDeadlineMs, aggregation, acceptance, stop } = plan.body;
  const { secure } = aggregation;
  const groupSites = groupSitesOf(aggregation.strategy);
  const rules = { rounds, minSites, roundDeadlineMs, gatherMs, secure, acceptance, stop, groupSites };
  const book = await RosterBook.open(store, federation);
  const attempts = await store.rounds(federation);
  const checkpoints = await store.checkpoints(federation);
  const cohort = await store.cohort(federation);
  const state = restoreState(rules, {
    roster: book.members.map(({ site }) => site),
    rounds: attempts,
    checkpoints: checkpoints.map(({ body }) => body),
    cohort,
    alarm: alarmAfter(plan.body, attempts),
  });
  const totals = await store.contributionTotals(federation);
  const ledger = new Ledger(attempts, checkpoints, totals, cohort);
  const layout = state.genesis === null ? null : await readLayout(blobs, state.genesis, plan.body);
  return { state, ledger, book, layout };
}

/** As it was after the last commit; follow with the event `coordinator.recovered`. */
export function restoreState(
  rules: Rules,
  { roster, checkpoints, rounds, cohort, alarm }: StoredFederation,
): FederationState {
  const { restored, ...trials } = restoreTrials(rounds, rules);
  const newest = checkpoints.at(-1)?.sha256 ?? null;
  const { rollbacks, stopping } = trials;
  const last = rounds.at(-1);
  const position = restorePosition(rules, last, { images: cohort, rollbacks, alarm, stopping });
  const hasStopped = position.phase === "finished" && position.stopped !== undefined;
  return {
    ...initialState(rules),
    ...trials,
    roster: [...roster].sort(),
    genesis: checkpoints.at(0)?.sha256 ?? null,
    checkpoint: hasStopped ? (stopping.best?.checkpoint ?? newest) : (restored ?? newest),
    position,
  };
}

type Trials = Pick<FederationState, "accepted" | "rollbacks" | "stopping"> & {
  /** The model that was gone back to, if no newer one was made since. */
  readonly restored: Sha256 | null;
};

function restoreTrials(rounds: readonly RoundRow[], { stop }: Pick<Rules, "stop">): Trials {
  let trials: Trials = { accepted: null, rollbacks: 0, restored: null, stopping: NOTHING_TRIED };
  for (const { outcome, verdict, resumed } of rounds) {
    if (verdict !== null) trials = { ...trials, stopping: afterTrial(trials.stopping, verdict, stop) };
    if (verdict?.accepted === true) {
      const { checkpoint, loss } = verdict;
      trials = { ...trials, accepted: { checkpoint, loss }, rollbacks: 0 };
    } else if (verdict !== null) {
      const restored = verdict.before?.checkpoint ?? trials.restored;
      trials = { ...trials, rollbacks: trials.rollbacks + 1, restored };
    }
    if (outcome === "aggregated") trials = { ...trials, restored: null };
    if (resumed) trials = { ...trials, rollbacks: 0 };
  }
  return trials;
}

/** Whether the newest attempt has ended the federation early: the model that it tried was the last that was waited for. */
function stoppedIn(
  { stop, rounds }: Rules,
  { round, verdict }: RoundRow,
  stopping: Stopping,
): EarlyEnd | null {
  return verdict === null || round > rounds ? null : (earlyEnd(stopping, stop, round)?.stopped ?? null);
}

function restorePosition(
  rules: Rules,
  last: RoundRow | undefined,
  {
    images,
    rollbacks,
    alarm,
    stopping,
  }: {
    readonly images: CohortRow | null;
    readonly rollbacks: number;
    readonly stopping: Stopping;
    readonly alarm: string | undefined;
  },
): Position {
  if (last === undefined) return initialState(rules).position;
  const { round, attempt, base, cohort, openedAtMs, contributions, excluded, masking } = last;
  const stopped = stoppedIn(rules, last, stopping);
  switch (last.outcome) {
    case "open": {
      const deadlineAtMs = openedAtMs + rules.roundDeadlineMs;
      return {
        phase: "open",
        round,
        attempt,
        base,
        cohort,
        openedAtMs,
        deadlineAtMs,
        contributions,
        refused: [],
        masking: masking && restoreMasking(masking, cohort, groupingAtFirst(rules, round)),
      };
    }
    case "closed":
      return { phase: "aggregating", round, attempt, base, cohort, openedAtMs, contributions, excluded };
    case "abandoned": {
      if (isFingerprintRound(round) && images !== null) {
        return { phase: "waiting", round: FIRST_ROUND, attempt: FIRST_ATTEMPT, gathering: false };
      }
      const next = { round, attempt: (attempt + 1) as Attempt };
      const wasWorse = last.verdict?.accepted === false;
      if (wasWorse && round > rules.rounds) return { phase: "finished" };
      if (wasWorse && !last.resumed && rollbacks >= (rules.acceptance?.maxRollbacks ?? Infinity)) {
        return { phase: "paused", ...next };
      }
      if (stopped !== null && !last.resumed) return { phase: "finished", stopped };
      return { phase: "waiting", ...next, gathering: false };
    }
    case "aggregated":
      if (stopped !== null) return { phase: "finished", stopped };
      if (alarm !== undefined && round < rules.rounds && !last.resumed) {
        return { phase: "paused", round: (round + 1) as Round, attempt: FIRST_ATTEMPT, alarm };
      }
      return round >= rules.rounds + (rules.acceptance === null ? 0 : 1)
        ? { phase: "finished" }
        : { phase: "waiting", round: (round + 1) as Round, attempt: FIRST_ATTEMPT, gathering: false };
  }
}
