/** How a round opens: who is in it, and until when. */
import type { Attempt, Round } from "@consilium/shared/ids";
import { groupingAtFirst } from "./masking-groups.ts";
import { FIRST_STEP, stepMs } from "./masking-steps.ts";
import { unchanged, withPosition } from "./state.ts";
import type { FederationState, OpenPosition, Rules, Transition } from "./types.ts";

/** Opens the waiting round once enough sites are there; with some of the roster absent, after a moment's grace. */
export function tryOpen(
  state: FederationState,
  atMs: number,
  { evenIfIncomplete = false }: { evenIfIncomplete?: boolean } = {},
): Transition {
  const { position, rules, connected, roster } = state;
  if (position.phase !== "waiting") return unchanged(state);
  if (state.checkpoint === null || connected.length < rules.minSites) {
    return unchanged(withPosition(state, { ...position, gathering: false }));
  }
  if (connected.length >= roster.length || evenIfIncomplete) {
    return open(state, position.round, position.attempt, atMs);
  }
  if (position.gathering) return unchanged(state);
  return {
    state: withPosition(state, { ...position, gathering: true }),
    facts: [],
    effects: [{ effect: "await-gathering", afterMs: rules.gatherMs }],
  };
}

/** Straight on with whoever is connected; sites that are away take part from a later round. */
export function openNext(state: FederationState, round: Round, attempt: Attempt, atMs: number): Transition {
  return state.connected.length >= state.rules.minSites
    ? open(state, round, attempt, atMs)
    : unchanged(withPosition(state, { phase: "waiting", round, attempt, gathering: false }));
}

function open(state: FederationState, round: Round, attempt: Attempt, atMs: number): Transition {
  if (state.checkpoint === null) throw new Error("a round needs a model to start from");
  const { roster, connected, rules } = state;
  const atFirst = { roster, step: FIRST_STEP, expected: connected, answered: [] };
  const masking = rules.secure === "masked" ? { ...atFirst, ...groupingAtFirst(rules, round) } : null;
  const position: OpenPosition = {
    phase: "open",
    round,
    attempt,
    base: state.checkpoint,
    cohort: connected,
    openedAtMs: atMs,
    deadlineAtMs: atMs + deadlineMs(rules, { round, masking }),
    contributions: [],
    refused: [],
    masking,
  };
  const opened = { fact: "round.opened", round, attempt, base: position.base, cohort: connected } as const;
  return {
    state: withPosition(state, position),
    facts: masking === null ? [opened] : [opened, { fact: "masking.opened", round, attempt, roster }],
    effects: [awaitDeadline(rules, position)],
  };
}

export const deadlineMs = (
  rules: Rules,
  { round, masking }: Pick<OpenPosition, "round" | "masking">,
): number => (masking === null ? rules.roundDeadlineMs : stepMs(rules, round, masking.step));

export function awaitDeadline(rules: Rules, position: OpenPosition) {
  const { round, attempt, masking } = position;
  const step = masking === null ? {} : { step: masking.step };
  return { effect: "await-deadline", round, attempt, ...step, afterMs: deadlineMs(rules, position) } as const;
}
