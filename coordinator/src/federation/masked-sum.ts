/** Opens the sum of a masked attempt, whatever it is of: what becomes of it is the event that says so. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { fingerprintSum } from "@consilium/shared/fingerprint/masked";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import { isFingerprintRound, type CheckpointRecord } from "@consilium/shared/protocol/round";
import { strategyOf } from "@consilium/shared/strategy-schema";
import type { MaskedSumJob } from "../aggregation/fold-masked.ts";
import { OWN } from "../aggregation/next-checkpoint.ts";
import type { Aggregator } from "../aggregation/tasks.ts";
import type { FederationRow } from "../store/store.ts";
import { isOwnFault } from "../faults.ts";
import type { MaskedRound } from "./masked-round.ts";
import type { AggregatingPosition, Happening } from "./types.ts";

export interface MaskedSumPorts {
  readonly aggregator: Aggregator;
  readonly identity: Identity;
  readonly row: Pick<FederationRow, "federation" | "planHash" | "plan">;
  /** What the strategy left behind when it made the round's base. */
  readonly serverState: Sha256 | null;
  readonly record: (record: Omit<CheckpointRecord, "federation" | "planHash">) => Signed<CheckpointRecord>;
}

/**
 * Of a round the next global model, of the round before the first what the sites' images are like.
 * @throws what is this machine's affair, such as disk.full
 */
export async function closeMasked(
  { aggregator, identity, row, serverState, record }: MaskedSumPorts,
  position: AggregatingPosition,
  masked: MaskedRound,
): Promise<Happening> {
  const { round, attempt, base } = position;
  if (isFingerprintRound(round)) {
    const summed = await openMaskedSum(masked, position, async (job) =>
      fingerprintSum(await aggregator.sumMasked(job)),
    );
    if ("failure" in summed) return { type: "attempt.failed", round, attempt, ...summed.failure };
    const { federation, planHash } = row;
    const cohort = { federation, planHash, attempt, sites: summed.sites, sum: Array.from(summed.opened) };
    return { type: "cohort.summed", attempt, record: sign("cohort", cohort, identity) };
  }
  const strategy = strategyOf(row.plan.body.aggregation.strategy);
  const summed = await openMaskedSum(masked, position, (job) =>
    aggregator.foldMasked({ ...job, base, strategy, serverState }),
  );
  if ("failure" in summed) return { type: "attempt.failed", round, attempt, ...summed.failure };
  const { sha256, totals, serverState: state } = summed.opened;
  const made = record({ round, sha256, parent: base, sites: summed.sites });
  const heldOutLoss = totals.heldOutLoss ?? null;
  return { type: "round.aggregated", attempt, record: made, totals, serverState: state, heldOutLoss };
}

type MaskedSum<T> =
  | { readonly opened: T; readonly sites: readonly SiteId[] }
  | { readonly failure: { readonly reason: ErrorCode; readonly culprits: readonly string[] } };

/**
 * @param open what is done with the survivors' vectors
 * @throws what is this machine's affair, such as disk.full
 */
async function openMaskedSum<T>(
  masked: MaskedRound,
  { contributions }: Pick<AggregatingPosition, "contributions">,
  open: (job: MaskedSumJob) => Promise<T>,
): Promise<MaskedSum<T>> {
  const { attempt, layout } = masked.terms;
  try {
    const unmasking = masked.unmasking();
    const survivors = new Set(unmasking.survivors);
    const frames = contributions
      .filter(({ site }) => survivors.has(site))
      .map(({ site, sealedSha256 }) => ({ site, sha256: sealedSha256 }));
    const opened = await open({ attempt, layout, frames, unmasking });
    return { opened, sites: unmasking.survivors };
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    if (isOwnFault(code) || culprits.includes(OWN)) throw error;
    return { failure: { reason: code, culprits } };
  }
}
