/** Opens the sum of a masked attempt, whatever it is of: what becomes of it is the event that says so. */
import { sign, type Identity } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { fingerprintSum } from "@consilium/shared/fingerprint/masked";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import {
  isFingerprintRound,
  type CheckpointRecord,
  type RoundTotals,
} from "@consilium/shared/protocol/round";
import { tooFew } from "@consilium/shared/secagg/attempt";
import type { LeftOut } from "@consilium/shared/secagg/coordinator/unmask";
import { required } from "@consilium/shared/secagg/required";
import type { MaskedFold, MaskedSums } from "../aggregation/fold-masked.ts";
import type { AverageJob } from "../aggregation/running-average.ts";
import type { Aggregator } from "../aggregation/tasks.ts";
import { OWN } from "../blobs/hashed.ts";
import type { FederationRow } from "../store/store.ts";
import { isOwnFault } from "../faults.ts";
import { movementOf } from "./fold-round.ts";
import { imageCount, patientCount } from "./image-count.ts";
import type { MaskedRound } from "./masked-round.ts";
import type { AggregatingPosition, Happening } from "./types.ts";

export interface MaskedSumPorts {
  readonly aggregator: Aggregator;
  readonly identity: Identity;
  readonly row: Pick<FederationRow, "federation" | "planHash" | "plan">;
  /** What the strategy left behind when it made the round's base. */
  readonly serverState: Sha256 | null;
  /** Where a running average is to be written. */
  readonly average?: AverageJob | undefined;
  readonly record: (record: Omit<CheckpointRecord, "federation" | "planHash">) => Signed<CheckpointRecord>;
}

/**
 * Of a round the next global model, of the round before the first what the sites' images are like.
 * @throws what is this machine's affair, such as disk.full
 */
export async function closeMasked(
  { aggregator, identity, row, serverState, average, record }: MaskedSumPorts,
  position: AggregatingPosition,
  masked: MaskedRound,
): Promise<Happening> {
  const { round, attempt, base } = position;
  if (isFingerprintRound(round)) {
    const summed = await openMaskedSums(masked, position, async ({ sums, ...about }) => {
      const sum = required(sums[0]);
      const opened = fingerprintSum(await aggregator.sumMasked({ ...about, ...sum }));
      return { opened, sites: sum.unmasking.survivors };
    });
    if ("failure" in summed) return { type: "attempt.failed", round, attempt, ...summed.failure };
    const { federation, planHash } = row;
    const cohort = { federation, planHash, attempt, sites: summed.sites, sum: Array.from(summed.opened) };
    return { type: "cohort.summed", attempt, record: sign("cohort", cohort, identity) };
  }
  const next = movementOf(row.plan.body);
  const summed = await openMaskedSums(masked, position, async ({ leftOut, ...job }) => {
    const folded = await aggregator.foldMasked({ ...job, base, ...next, serverState, average });
    const sites = job.sums
      .filter((_, i) => !folded.garbled.includes(i))
      .flatMap(({ unmasking }) => unmasking.survivors)
      .sort();
    assertEnough(sites, row.plan.body);
    return { opened: { ...folded, totals: withGroups(folded, { leftOut, ...job }) }, sites };
  });
  if ("failure" in summed) return { type: "attempt.failed", round, attempt, ...summed.failure };
  const { sha256, totals, ...made } = summed.opened;
  const { sites } = summed;
  const behind = {
    ...imageCount(row.plan.body, totals.examples),
    ...patientCount(sites.length, totals.patients),
  };
  const signed = record({ round, sha256, parent: base, sites, ...behind });
  const heldOutLoss = totals.heldOutLoss ?? null;
  const carried = { serverState: made.serverState, average: made.average };
  return { type: "round.aggregated", attempt, record: signed, totals, ...carried, heldOutLoss };
}

/** A round counts with the plan's fewest sites or not at all, also where groups were left out of it. */
function assertEnough(sites: readonly SiteId[], { minSites }: Pick<Plan, "minSites">): void {
  if (sites.length < minSites) throw tooFew(sites.length, minSites);
}

/** Names the groups that are not in the model, if the round has groups. */
function withGroups(
  { totals, garbled }: MaskedFold,
  { layout, sums, leftOut }: MaskedSums & { readonly leftOut: readonly LeftOut[] },
): RoundTotals {
  if (layout.groupSites === undefined) return totals;
  const unusable = garbled.map((i) => ({
    sites: required(sums[i]).unmasking.survivors,
    reason: "secagg.garbled",
  }));
  const unopened = leftOut.map(({ sites, error }) => ({ sites, reason: error.code }));
  const groups = { opened: sums.length - garbled.length, leftOut: [...unopened, ...unusable] };
  return { ...totals, groups };
}

type Summed<T> =
  | { readonly opened: T; readonly sites: readonly SiteId[] }
  | { readonly failure: { readonly reason: ErrorCode; readonly culprits: readonly string[] } };

/**
 * @param open what is done with the survivors' vectors
 * @throws what is this machine's affair, such as disk.full
 */
async function openMaskedSums<T>(
  masked: MaskedRound,
  { contributions }: Pick<AggregatingPosition, "contributions">,
  open: (
    job: MaskedSums & { readonly leftOut: readonly LeftOut[] },
  ) => Promise<{ readonly opened: T; readonly sites: readonly SiteId[] }>,
): Promise<Summed<T>> {
  const { attempt, layout } = masked.terms;
  try {
    const { sums, leftOut } = masked.unmaskings();
    const framesOf = (survivors: readonly SiteId[]) =>
      contributions
        .filter(({ site }) => survivors.includes(site))
        .map(({ site, sealedSha256 }) => ({ site, sha256: sealedSha256 }));
    return await open({
      attempt,
      layout,
      sums: sums.map((unmasking) => ({ frames: framesOf(unmasking.survivors), unmasking })),
      leftOut,
    });
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    if (isOwnFault(code) || culprits.includes(OWN)) throw error;
    return { failure: { reason: code, culprits } };
  }
}
