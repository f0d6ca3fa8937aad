/** Averages the updates of a closed round, or finds the one that cannot be. */
import { toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { FoldJob } from "../aggregation/fold.ts";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { AggregatingPosition } from "./types.ts";

export type FoldedRound =
  /** The new global model, durable under its name. */
  | { readonly sha256: Sha256 }
  /** The site whose update must be left out, and why; nothing was written. */
  | { readonly culprit: SiteId; readonly reason: ErrorCode };

/** @throws what is not the fault of an update, such as disk.full */
export async function foldRound(
  aggregator: Aggregator,
  federation: FederationId,
  strategy: FoldJob["strategy"],
  { round, attempt, base, contributions }: AggregatingPosition,
): Promise<FoldedRound> {
  const updates = contributions.map(({ site, examples, sealedSha256 }) => {
    if (examples === null) throw new Error("a masked update is no part of a plain round");
    return { site, examples, sealedSha256 };
  });
  const job = { federation, round, attempt, base, strategy, contributions: updates };
  try {
    const { sha256 } = await aggregator.fold(job);
    return { sha256 };
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    const culprit = contributions.find(({ site }) => site === culprits[0]);
    if (culprit === undefined) throw error;
    return { culprit: culprit.site, reason: code };
  }
}
