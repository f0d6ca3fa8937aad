/** Opens the sum of a masked round, or says why this attempt cannot be used. */
import { toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { RoundTotals } from "@consilium/shared/protocol/round";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { MaskedRound } from "./masked-round.ts";
import type { AggregatingPosition } from "./types.ts";

export type MaskedSum =
  /** The new global model, durable under its name. */
  | { readonly sha256: Sha256; readonly totals: RoundTotals; readonly sites: readonly SiteId[] }
  | { readonly failure: { readonly reason: ErrorCode; readonly culprits: readonly string[] } };

/** @throws what is this machine's affair, such as disk.full */
export async function foldMaskedSum(
  aggregator: Aggregator,
  strategy: Plan["aggregation"]["strategy"],
  { base, contributions }: AggregatingPosition,
  masked: MaskedRound,
): Promise<MaskedSum> {
  const { attempt, layout } = masked.terms;
  try {
    const unmasking = masked.unmasking();
    const survivors = new Set(unmasking.survivors);
    const frames = contributions
      .filter(({ site }) => survivors.has(site))
      .map(({ site, sealedSha256 }) => ({ site, sha256: sealedSha256 }));
    const job = { attempt, layout, base, strategy, frames, unmasking };
    const { sha256, totals } = await aggregator.foldMasked(job);
    return { sha256, totals, sites: unmasking.survivors };
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    if (code === "internal" || code === "disk.full") throw error;
    return { failure: { reason: code, culprits } };
  }
}
