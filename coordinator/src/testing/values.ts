/** Small typed values for tests. */
import { sha256 } from "@consilium/shared/canonical";
import type { Signed } from "@consilium/shared/crypto/signed";
import { FINGERPRINT_LENGTH } from "@consilium/shared/fingerprint/layout";
import type { Attempt, FederationId, Round, SiteId } from "@consilium/shared/ids";
import type { CohortRecord } from "@consilium/shared/protocol/fingerprint";
import type { CheckpointRecord, ContributionHeader } from "@consilium/shared/protocol/round";

export const federation = "chest" as FederationId;
export const siteId = (name: string): SiteId => name as SiteId;
export const hashOf = (text: string) => sha256(text);

/** Signatures are checked at the border; inside they only travel along. */
const signed = <T>(body: T): Signed<T> => ({ body, signature: "A".repeat(86) });

export function header(
  site: string,
  round: number,
  attempt: number,
  change: Partial<ContributionHeader> = {},
): Signed<ContributionHeader> {
  return signed({
    federation,
    site: siteId(site),
    round: round as Round,
    attempt: attempt as Attempt,
    base: hashOf(`checkpoint ${round - 1}`),
    planHash: hashOf("plan"),
    manifestHash: hashOf("manifest"),
    examples: 10,
    metrics: { loss: 1, finalLoss: 0.9, steps: 3, updateNorm: 1, trainingMs: 5 },
    sealedSha256: hashOf(`${site} ${round} ${attempt}`),
    sealedBytes: 100,
    ...change,
  });
}

/** What the images of these sites together are like. */
export function cohortRecord(sites: readonly string[]): Signed<CohortRecord> {
  return signed({
    federation,
    planHash: hashOf("plan"),
    attempt: 1 as Attempt,
    sites: sites.map(siteId),
    sum: Array.from({ length: FINGERPRINT_LENGTH }, (_, bin) => bin),
  });
}

/** The checkpoint that a round produced; round 0 is the initial model. */
export function record(round: number, sites: readonly string[] = []): Signed<CheckpointRecord> {
  return signed({
    federation,
    round,
    sha256: hashOf(`checkpoint ${round}`),
    planHash: hashOf("plan"),
    parent: round === 0 ? null : hashOf(`checkpoint ${round - 1}`),
    sites: sites.map(siteId),
  });
}
