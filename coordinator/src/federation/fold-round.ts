/** Averages the updates of a closed round, or finds the one that cannot be. */
import { toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { FederationId, SiteId } from "@consilium/shared/ids";
import { drawOf } from "@consilium/shared/low-rank";
import type { Plan } from "@consilium/shared/plan";
import { strategyOf } from "@consilium/shared/strategy-schema";
import type { NextJob, NextModel } from "../aggregation/next-checkpoint.ts";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { AggregatingPosition } from "./types.ts";

export type FoldedRound =
  /** The new global model, durable under its name. */
  | NextModel
  /** The site whose update must be left out, and why; nothing was written. */
  | { readonly culprit: SiteId; readonly reason: ErrorCode }
  /** No update is to blame, but together they make no model. */
  | { readonly failure: { readonly reason: ErrorCode; readonly culprits: readonly string[] } };

/** How the plan moves a model by a mean update. */
export const movementOf = (plan: Plan) => ({
  strategy: strategyOf(plan.aggregation.strategy),
  training: plan.training,
  draw: drawOf(plan),
});

/** @throws what is not the fault of an update, such as disk.full */
export async function foldRound(
  aggregator: Aggregator,
  federation: FederationId,
  strategy: Pick<NextJob, "strategy" | "serverState" | "average" | "training" | "draw">,
  { round, attempt, base, contributions }: AggregatingPosition,
): Promise<FoldedRound> {
  const updates = contributions.map(({ site, examples, sealedSha256 }) => {
    if (examples === null) throw new Error("a masked update is no part of a plain round");
    return { site, examples, sealedSha256 };
  });
  const job = { federation, round, attempt, base, ...strategy, contributions: updates };
  try {
    return await aggregator.fold(job);
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    const culprit = contributions.find(({ site }) => site === culprits[0]);
    if (culprit !== undefined) return { culprit: culprit.site, reason: code };
    if (code === "vector.not-finite") return { failure: { reason: code, culprits } };
    throw error;
  }
}
