/**
 * Differential privacy with a whole site as its unit: each site cuts its update to a norm and adds its share of the noise
 * before it masks (the distributed discrete Gaussian mechanism of Kairouz, Liu and Steinke 2021, algorithms 1 and 2). The
 * sum of the fewest sites that a round may end with has all of the noise; the coordinator sees nothing with less.
 *
 * A site is protected against being replaced by one that sends zeros. Sites count alike: their sizes do not travel.
 */
import { ConsiliumError } from "../errors.ts";
import type { Plan } from "../plan-schema.ts";
import type { TensorRange, VectorLayout } from "../secagg/layout.ts";
import { levelsOf } from "../secagg/levels.ts";
import { agreedOn } from "../secagg/ranges.ts";
import { fewestInGroup, MIN_SURVIVORS, thresholdOf } from "../secagg/threshold.ts";
import { noiseMultiplierFor } from "./accountant.ts";

export type SitePrivacy = Extract<Plan["privacy"], { readonly unit: "site" }>;

/** Noise beyond so many standard deviations is cut off by the range: a chance of 4e-33 an element. */
const TAILS = 12;
/** In steps of the ring. From here on a sum of discrete normal numbers is one, but for less than exp(-40000) (theorem 8). */
const FINEST_STD_DEV = 64;
const RING_BITS = 32;

/**
 * Of the noise in the sum over `clipL2Norm`; the same at all sites, and each round costs one step of it.
 * @throws privacy.unreachable
 */
export function siteNoiseMultiplier(privacy: SitePrivacy, rounds: number): number {
  const { noiseMultiplier, targetEpsilon: epsilon = 0, delta } = privacy;
  const found = noiseMultiplier ?? noiseMultiplierFor({ epsilon, delta }, { sampleRate: 1, steps: rounds });
  if (found === null) throw new ConsiliumError("privacy.unreachable");
  return found;
}

/**
 * How long the noise in the mean is, over the longest that a mean update can be. Above 1 a round tells more noise than
 * anything else.
 * @param weights of the model
 */
export const noiseOverUpdate = (noiseMultiplier: number, weights: number, sites: number): number =>
  (noiseMultiplier * Math.sqrt(weights)) / sites;

/**
 * Ranges with room for the noise, and each site's share of it. Rounding to steps of the ring lengthens an update; the
 * noise is for the longest that it can become.
 * @param ranges as training bounds them
 * @throws plan.invalid where the ring is too coarse: thousands of sites with a large model
 */
export function withSiteNoise(
  ranges: readonly TensorRange[],
  sites: number,
  {
    privacy,
    rounds,
    minSites,
    groupSites,
  }: {
    readonly privacy: SitePrivacy;
    readonly rounds: number;
    readonly minSites: number;
    /** Where groups are summed apart each sum has all of the noise. */
    readonly groupSites?: number | undefined;
  },
): { readonly tensors: TensorRange[]; readonly noise: NonNullable<VectorLayout["noise"]> } {
  const { clipL2Norm } = privacy;
  const multiplier = siteNoiseMultiplier(privacy, rounds);
  const survivors =
    groupSites === undefined
      ? Math.max(minSites, MIN_SURVIVORS, thresholdOf(sites))
      : fewestInGroup(groupSites);
  const levels = levelsOf(RING_BITS, sites);
  const boundOf = ({ bound }: TensorRange, stdDev: number): number =>
    Math.min(bound, clipL2Norm) + TAILS * stdDev;
  const lengthened = (stdDev: number): number =>
    Math.sqrt(ranges.reduce((sum, range) => sum + range.length * (boundOf(range, stdDev) / levels) ** 2, 0));
  // Noise widens the ranges, which coarsens the steps, which lengthens the update: each time by far less.
  let stdDev = 0;
  for (let i = 0; i < 30; i++)
    stdDev = (multiplier * (clipL2Norm + lengthened(stdDev))) / Math.sqrt(survivors);
  const share = agreedOn(stdDev * 1.0001);
  const isSettled = (multiplier * (clipL2Norm + lengthened(share))) / Math.sqrt(survivors) <= share;
  const tensors = ranges.map((range) => ({ ...range, bound: agreedOn(boundOf(range, share)) }));
  const isFine = tensors.every(({ bound }) => (share * levels) / bound >= FINEST_STD_DEV);
  if (!isSettled || !isFine) {
    throw new ConsiliumError("plan.invalid", {
      detail: "privacy: so many sites leave the masked sum no room for noise",
      culprits: ["privacy"],
    });
  }
  return { tensors, noise: { clipL2Norm, stdDev: share } };
}
