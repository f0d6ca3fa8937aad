/** From what the randomness of a training follows. */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import type { Plan } from "@consilium/shared/plan";
import type { RoundOpening } from "@consilium/shared/protocol/round";

/** Decides crops, masks and the order of batches at this site: the same for the same plan and site. */
export function trainingSeed(plan: Plan, site: string): number {
  const { federation, seed } = plan;
  const digest = sha256(canonicalJson({ purpose: "training", federation, seed, site }));
  return Number.parseInt(digest.slice(0, 8), 16);
}

/** For a training whose update must not be the one before. */
export function anotherSeed(seed: number, { round, attempt }: RoundOpening): number {
  return Number.parseInt(
    sha256(canonicalJson({ purpose: "training again", seed, round, attempt })).slice(0, 8),
    16,
  );
}
