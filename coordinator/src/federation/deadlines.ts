/** A deadline that is put off for a site that gets on. */
import { awaitDeadline } from "./opening.ts";
import { isCurrent, unchanged, withPosition } from "./state.ts";
import type { FederationEvent, FederationState, Transition } from "./types.ts";

export function deadlineExtended(
  state: FederationState,
  event: Extract<FederationEvent, { type: "deadline.extended" }>,
): Transition {
  const { position } = state;
  if (position.phase !== "open" || !isCurrent(position, event)) return unchanged(state);
  if (position.masking?.step !== event.step) return unchanged(state);
  const extended = { ...position, deadlineAtMs: event.untilMs };
  const afterMs = Math.max(0, event.untilMs - event.atMs);
  const effects = [{ ...awaitDeadline(state.rules, extended), afterMs }];
  return { state: withPosition(state, extended), facts: [], effects };
}
