/**
 * The agent's state machine: a pure function from (state, event) to (state, effects). The driver in agent.ts runs the
 * effects and feeds their results back as events.
 *
 *     connecting -> waiting -> fetching -> training -> sealing -> uploading -> waiting ... -> finishing -> finished
 *
 * Where the plan masks, a round begins with fetching -> advertising and sharing, and ends with voting and releasing; and a
 * round of the same steps goes before the first, with fingerprinting for training.
 *
 * The link may come and go in any state; local work goes on without it. The coordinator's position decides what work
 * makes sense: work for another round or attempt is aborted. Each started task has a job number, and answers of older
 * jobs are ignored.
 */
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { MaskingStanding } from "@consilium/shared/protocol/events";
import { SIT_OUT_REASONS, type SitOut } from "@consilium/shared/protocol/masking";
import {
  isFingerprintRound,
  type CheckpointRecord,
  type EarlyEnd,
  type MaskingStep,
  type RoundOpening,
} from "@consilium/shared/protocol/round";
import { sameRound, type RoundKey } from "./outbox.ts";

/** Where the federation stands, with every signature checked. */
export type Standing =
  | { readonly phase: "waiting"; readonly genesisWanted: boolean }
  | {
      readonly phase: "open";
      readonly opening: RoundOpening;
      readonly contributed: boolean;
      readonly inCohort: boolean;
      /** Where the plan masks. */
      readonly masking?: MaskingStanding | undefined;
    }
  | { readonly phase: "aggregating" }
  | ({ readonly phase: "finished" } & Ending);

/** What a federation has ended with. */
export interface Ending {
  readonly record: Signed<CheckpointRecord>;
  /** Why before its last round; the coordinator says so, and signs the model alone. */
  readonly stopped?: EarlyEnd | undefined;
}

export type RoundTaskKind =
  | "fetching"
  | "training"
  /** In the round before the first, what training is in the others. */
  | "fingerprinting"
  | "sealing"
  | "uploading"
  // Small messages of a masked round.
  | "advertising"
  | "sharing"
  | "voting"
  | "releasing";

export type Task =
  | { readonly kind: "genesis" }
  /** `step` of a masked round: its third is what a whole round is where updates are not masked. */
  | { readonly kind: RoundTaskKind; readonly opening: RoundOpening; readonly step?: MaskingStep }
  | ({ readonly kind: "finishing" } & Ending);

export type Work =
  | { readonly kind: "idle" }
  /** `running` is false while the task waits for the link or for its next try. */
  | {
      readonly kind: "busy";
      readonly task: Task;
      readonly job: number;
      readonly running: boolean;
      readonly failures: number;
    }
  | ({ readonly kind: "finished" } & Ending)
  | { readonly kind: "failed"; readonly error: ConsiliumError };

/** Why this site takes no further part in an attempt. */
export interface SatOut {
  readonly opening: RoundOpening;
  readonly reason: SitOut["reason"];
  readonly culprits: readonly string[];
}

export interface AgentState {
  readonly link: "connecting" | "online";
  readonly work: Work;
  /** The round whose sealed update lies on disk. */
  readonly outbox: RoundKey | null;
  /** A masked attempt in which this site cannot go on; the next one is another matter. */
  readonly satOut: SatOut | null;
  readonly nextJob: number;
}

export type AgentEvent =
  | { readonly type: "connected"; readonly standing: Standing }
  | { readonly type: "disconnected" }
  | { readonly type: "position"; readonly standing: Standing }
  | { readonly type: "done"; readonly job: number }
  | { readonly type: "failed"; readonly job: number; readonly error: ConsiliumError }
  | { readonly type: "retry"; readonly job: number }
  /** The coordinator refused this site for good, or cannot be believed. */
  | { readonly type: "refused"; readonly error: ConsiliumError };

export type AgentEffect =
  /** Open a link, for as long as it takes. */
  | { readonly type: "connect" }
  /** Give the link up; `disconnected` follows. */
  | { readonly type: "hangUp" }
  /** Ask for the position. */
  | { readonly type: "ask" }
  | { readonly type: "start"; readonly job: number; readonly task: Task }
  | { readonly type: "abort"; readonly job: number }
  /** Tell the coordinator, so that nobody waits for this site. */
  | { readonly type: "sitOut"; readonly satOut: SatOut }
  | { readonly type: "retryLater"; readonly job: number; readonly failures: number }
  | { readonly type: "end" };

export interface Transition {
  readonly state: AgentState;
  readonly effects: readonly AgentEffect[];
}

/** A checkpoint whose hash is wrong three times in a row is not an accident of the network. */
const MAX_HASH_FAILURES = 3;

/** @param outbox what an earlier run left ready to be sent */
export function initialState(outbox: RoundKey | null): Transition {
  return {
    state: { link: "connecting", work: { kind: "idle" }, outbox, satOut: null, nextJob: 1 },
    effects: [{ type: "connect" }],
  };
}

export function transition(state: AgentState, event: AgentEvent): Transition {
  if (state.work.kind === "finished" || state.work.kind === "failed") return stay(state);
  switch (event.type) {
    case "connected":
      return follow({ ...state, link: "online" }, event.standing);
    case "disconnected":
      return state.link === "connecting"
        ? stay(state)
        : { state: { ...state, link: "connecting" }, effects: [{ type: "connect" }] };
    case "position":
      // Before the link is up the answer to hello is the newer truth.
      return state.link === "online" ? follow(state, event.standing) : stay(state);
    case "done":
      return isCurrent(state, event.job) ? advance(state, state.work.task) : stay(state);
    case "failed":
      return isCurrent(state, event.job) ? recover(state, event.error) : stay(state);
    case "retry":
      return state.work.kind === "busy" && state.work.job === event.job ? resume(state as Busy) : stay(state);
    case "refused":
      return end(state, { kind: "failed", error: event.error });
  }
}

type Busy = AgentState & { readonly work: Extract<Work, { kind: "busy" }> };

function isCurrent(state: AgentState, job: number): state is Busy {
  return state.work.kind === "busy" && state.work.running && state.work.job === job;
}

/** What the coordinator says decides what is worth doing. */
function follow(state: AgentState, standing: Standing): Transition {
  switch (standing.phase) {
    case "waiting":
      return standing.genesisWanted ? pursue(state, { kind: "genesis" }) : rest(state);
    case "aggregating":
      return rest(state);
    case "open": {
      const { opening, contributed, inCohort, masking } = standing;
      if (masking !== undefined) return inCohort ? followMasking(state, opening, masking) : rest(state);
      if (contributed || !inCohort) return rest(state);
      const ready = state.outbox !== null && sameRound(state.outbox, opening);
      return pursue(state, { kind: ready ? "uploading" : "fetching", opening });
    }
    case "finished":
      return pursue(state, { kind: "finishing", record: standing.record, stopped: standing.stopped });
  }
}

function followMasking(
  state: AgentState,
  opening: RoundOpening,
  { step, wanted }: MaskingStanding,
): Transition {
  if (!wanted) return rest(state);
  const { satOut } = state;
  if (satOut !== null && sameRound(satOut.opening, opening)) {
    // It was not heard, or the coordinator has started again since.
    const { state: resting, effects } = rest(state);
    return { state: resting, effects: [...effects, { type: "sitOut", satOut }] };
  }
  const ready = state.outbox !== null && sameRound(state.outbox, opening);
  const kind = step === "mask" && ready ? "uploading" : FIRST_TASK[step];
  return pursue(state, { kind, opening, step });
}

/** What a step begins with. */
const FIRST_TASK: Readonly<Record<MaskingStep, RoundTaskKind>> = {
  // The keys are for vectors whose ranges follow from the base.
  advertise: "fetching",
  share: "sharing",
  mask: "fetching",
  consistency: "voting",
  unmask: "releasing",
};

/** Goes on with the work that serves the task's purpose, or drops it for the task. */
function pursue(state: AgentState, task: Task): Transition {
  if (state.work.kind === "busy" && samePurpose(state.work.task, task)) return resume(state as Busy);
  const abort = abortEffects(state);
  const started = start(state, task, 0);
  return { state: started.state, effects: [...abort, ...started.effects] };
}

function samePurpose(a: Task, b: Task): boolean {
  if ("opening" in a && "opening" in b) return sameRound(a.opening, b.opening) && a.step === b.step;
  if ("record" in a && "record" in b) return a.record.body.sha256 === b.record.body.sha256;
  return a.kind === b.kind;
}

function resume(state: Busy): Transition {
  const { task, running, failures } = state.work;
  return running || (needsLink(task) && state.link !== "online") ? stay(state) : start(state, task, failures);
}

function start(state: AgentState, task: Task, failures: number): Transition {
  const job = state.nextJob;
  const running = !needsLink(task) || state.link === "online";
  return {
    state: { ...state, nextJob: job + 1, work: { kind: "busy", task, job, running, failures } },
    effects: running ? [{ type: "start", job, task }] : [],
  };
}

/** What is the site's own affair does not. */
function needsLink({ kind }: Task): boolean {
  return kind !== "training" && kind !== "fingerprinting" && kind !== "sealing";
}

function advance(state: AgentState, task: Task): Transition {
  switch (task.kind) {
    case "fetching":
      return start(state, { ...task, kind: afterFetching(task) }, 0);
    case "training":
    case "fingerprinting":
      return start(state, { ...task, kind: "sealing" }, 0);
    case "sealing": {
      const sealed = { ...state, outbox: keyOf(task.opening) };
      return start(sealed, { ...task, kind: "uploading" }, 0);
    }
    // Whatever became of what was sent, the coordinator's next position says what follows.
    case "uploading":
    case "advertising":
    case "sharing":
    case "voting":
    case "releasing":
    case "genesis":
      return { state: { ...state, work: { kind: "idle" } }, effects: [] };
    case "finishing":
      return end(state, { kind: "finished", record: task.record, stopped: task.stopped });
  }
}

function afterFetching({ step, opening }: Extract<Task, { opening: RoundOpening }>): RoundTaskKind {
  if (step === "advertise") return "advertising";
  return isFingerprintRound(opening.round) ? "fingerprinting" : "training";
}

function recover(state: Busy, error: ConsiliumError): Transition {
  const { task, job } = state.work;
  const failures = state.work.failures + 1;
  if (error.code === "round.not-open") {
    return {
      state: { ...state, work: { kind: "idle" } },
      effects: state.link === "online" ? [{ type: "ask" }] : [],
    };
  }
  const { code, culprits } = error;
  if ("opening" in task && task.step !== undefined && isReasonToSitOut(code)) {
    const satOut = { opening: task.opening, reason: code, culprits };
    const idle: AgentState = { ...state, work: { kind: "idle" }, satOut };
    return { state: idle, effects: state.link === "online" ? [{ type: "sitOut", satOut }] : [] };
  }
  // An update is right as long as it lies here: what the coordinator's disk has made of it is sent again.
  const isFetched = error.culprits.includes("checkpoint");
  const hopeless = error.code === "hash.mismatch" && isFetched && failures >= MAX_HASH_FAILURES;
  if (!error.retry || hopeless) return end(state, { kind: "failed", error });
  const waiting: AgentState = { ...state, work: { kind: "busy", task, job, running: false, failures } };
  // Without a session nothing succeeds; a new link brings a new one, and its position resumes the task.
  // A site that may not begin stays away until it may, so that no round waits for it.
  const isAway = error.code === "auth.required" || error.code === "policy.held";
  if (isAway && state.link === "online") {
    return { state: waiting, effects: [{ type: "hangUp" }] };
  }
  return { state: waiting, effects: [{ type: "retryLater", job, failures }] };
}

const isReasonToSitOut = (code: ErrorCode): code is SitOut["reason"] =>
  SIT_OUT_REASONS.some((reason) => reason === code);

function rest(state: AgentState): Transition {
  return { state: { ...state, work: { kind: "idle" } }, effects: abortEffects(state) };
}

function end(state: AgentState, work: Work): Transition {
  const finished = work.kind === "finished";
  return { state: { ...state, work }, effects: [...(finished ? [] : abortEffects(state)), { type: "end" }] };
}

function abortEffects({ work }: AgentState): AgentEffect[] {
  return work.kind === "busy" && work.running ? [{ type: "abort", job: work.job }] : [];
}

const keyOf = ({ round, attempt, base }: RoundOpening): RoundKey => ({ round, attempt, base });

const stay = (state: AgentState): Transition => ({ state, effects: [] });
