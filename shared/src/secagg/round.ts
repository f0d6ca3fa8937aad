/**
 * What a round function returns. It takes a state, the messages of the round and randomness; it touches nothing but the
 * secrets of that state, which it moves into the next one. States are plain data: they can be cloned, and have to be
 * stored before the broadcast is sent, so that a restart sends the same bytes and never makes others.
 */
import type { ConsiliumError } from "../errors.ts";
import type { SiteId } from "../ids.ts";

export interface Round<Broadcast, State> {
  readonly broadcast: Broadcast;
  readonly keep: State;
}

/** A site whose message was not accepted; it counts as dropped out. */
export interface Refusal {
  readonly site: SiteId;
  readonly error: ConsiliumError;
}

/** Of the coordinator, which goes on with the messages that are good. */
export interface CoordinatorRound<Broadcast, State> extends Round<Broadcast, State> {
  readonly refused: readonly Refusal[];
}
