/**
 * Whether a federation is to end before its last round: when models in a row are no better on held-out images than the best one.
 * Follows from the verdicts alone, which are committed with the rounds, so that a restart knows as much.
 */
import type { EarlyEnd } from "@consilium/shared/protocol/round";
import type { Round, Sha256 } from "@consilium/shared/ids";
import type { StopRule } from "@consilium/shared/stop-schema";
import type { TriedModel } from "./types.ts";

export interface Stopping {
  /** The lowest held-out loss so far; null before a model was tried. */
  readonly best: TriedModel | null;
  /** Loss of the last model that was better by enough: what the next one is held against. */
  readonly reference: number;
  /** Models that were tried since, none of them better by enough. */
  readonly tries: number;
}

export const NOTHING_TRIED: Stopping = { best: null, reference: Infinity, tries: 0 };

/** A plan without a rule counts as well, and nobody asks. */
export function afterTrial(
  { best, reference, tries }: Stopping,
  { checkpoint, loss }: TriedModel,
  rule: StopRule | undefined,
): Stopping {
  const isBest = best === null || loss < best.loss;
  const isBetter = loss < reference * (1 - (rule?.minImprovement ?? 0));
  return {
    best: isBest ? { checkpoint, loss } : best,
    reference: isBetter ? loss : reference,
    tries: isBetter ? 0 : tries + 1,
  };
}

/** With which model the federation ends now that one was tried in this round, and why; null if it goes on. */
export function earlyEnd(
  { best, tries }: Stopping,
  rule: StopRule | undefined,
  round: Round,
): { readonly best: Sha256; readonly stopped: EarlyEnd } | null {
  if (rule === undefined || best === null || tries < rule.patience) return null;
  return { best: best.checkpoint, stopped: { round, tries, bestLoss: best.loss } };
}
