/** Random attempts whose unmasked sum must be the integer sum of the survivors' encoded vectors, and their mean FedAvg's. */
import fc from "fast-check";
import { expect } from "vitest";
import type { SiteId } from "../../ids.ts";
import type { PrivateValues } from "../encode.ts";
import { geometryOf, type VectorLayout } from "../layout.ts";
import { vectorLayoutSchema } from "../layout-schema.ts";
import { addToBlock } from "../ring.ts";
import { thresholdOf } from "../threshold.ts";
import { consortium, fixedRandom, siteNames, wholeVector } from "./consortium.ts";
import { runAttempt, type Dropouts } from "./run.ts";

const EXAMPLES_CAP = 1000;
const PHASES = ["advertise", "share", "mask", "consistency", "unmask"] as const;

/** @param groupSites where groups are summed apart */
export const layoutFor = (
  sites: number,
  link: "wide" | "narrow" = "wide",
  groupSites?: number,
): VectorLayout =>
  vectorLayoutSchema.parse({
    ...(groupSites === undefined ? {} : { groupSites }),
    sites,
    link,
    examplesCap: EXAMPLES_CAP,
    tensors: [
      { name: "blocks.0.weight", length: 37, bound: 0.05 },
      { name: "norm.bias", length: 5, bound: 2 },
    ],
    extras: [
      { kind: "real", name: "loss", length: 1, bound: 10, weighted: true },
      { kind: "real", name: "moments", length: 4, bound: 1, weighted: false },
      { kind: "count", name: "histogram", length: 3, most: 5000 },
    ],
  });

/** Different at each site. @param beyond how far updates go, of their ranges: above 1 some are clipped */
export function valuesOf(site: SiteId, seed: string, beyond = 1.1): PrivateValues {
  const bytes = fixedRandom(`${seed} values of ${site}`)(4 * 60);
  const uniform = Array.from(new Uint32Array(bytes.buffer), (word) => word / 2 ** 31 - 1);
  return {
    update: Float32Array.from(uniform.slice(0, 42), (u, i) => u * beyond * (i < 37 ? 0.05 : 2)),
    examples: 1 + Math.floor((uniform[42] ?? 0) ** 2 * 1500),
    extras: {
      loss: [uniform[43] ?? 0],
      moments: uniform.slice(44, 48),
      histogram: uniform.slice(48, 51).map((u) => Math.floor(2500 * (u + 1))),
    },
    roundingKey: fixedRandom(`${seed} rounding of ${site}`)(32),
  };
}

/** What the coordinator would have summed if nobody had masked. */
export function plainSum(
  layout: VectorLayout,
  sites: readonly string[],
  values: (site: SiteId) => PrivateValues,
): Uint8Array {
  const geometry = geometryOf(layout);
  const sum = { offset: 0, bytes: new Uint8Array(geometry.totalBytes) };
  for (const site of sites) addToBlock(geometry, sum, wholeVector(layout, values(site as SiteId), []), 1);
  return sum.bytes;
}

/** Federated averaging in float64, of updates within their ranges. */
function plainMean(sites: readonly string[], values: (site: SiteId) => PrivateValues): Float64Array {
  const all = sites.map((site) => values(site as SiteId));
  const weights = all.map(({ examples }) => Math.min(examples, EXAMPLES_CAP));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Float64Array.from({ length: 42 }, (_, i) =>
    all.reduce((sum, { update }, k) => sum + ((update[i] ?? NaN) * (weights[k] ?? NaN)) / total, 0),
  );
}

export function relativeL2(actual: ArrayLike<number>, exact: Float64Array): number {
  let [error, size] = [0, 0];
  for (const [i, value] of exact.entries()) {
    error += ((actual[i] ?? NaN) - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(error / size);
}

/**
 * Sites that fall silent in any of the five phases, and never so many that the attempt cannot end: up to the last vector
 * as many as the smallest sum allows, after it as many as the threshold does.
 */
function survivableDropouts(sites: number): fc.Arbitrary<Dropouts> {
  const beforeSum = sites - Math.max(3, thresholdOf(sites));
  const inAll = sites - thresholdOf(sites);
  return fc
    .tuple(
      fc.shuffledSubarray(siteNames(sites), { minLength: 0, maxLength: inAll }),
      fc.array(fc.integer({ min: 0, max: PHASES.length - 1 }), { minLength: inAll, maxLength: inAll }),
    )
    .map(([lost, phases]) => {
      const dropouts: Record<(typeof PHASES)[number], string[]> = {
        advertise: [],
        share: [],
        mask: [],
        consistency: [],
        unmask: [],
      };
      let early = 0;
      for (const [i, site] of lost.entries()) {
        const phase = PHASES[phases[i] ?? 0] ?? "unmask";
        const isEarly = phase === "advertise" || phase === "share" || phase === "mask";
        if (isEarly) early++;
        dropouts[isEarly && early > beforeSum ? "unmask" : phase].push(site);
      }
      return dropouts;
    });
}

export interface ExactnessTally {
  runs: number;
  /** Attempts in which at least one site fell silent in that phase. */
  readonly dropped: Record<(typeof PHASES)[number], number>;
  largestCohort: number;
  largestError: number;
}

/**
 * @param runs attempts, each of which must end with a sum
 * @param sites smallest and largest cohort
 * @throws an assertion error with the attempt that was not exact
 */
export function assertExactSums(
  runs: number,
  seed: number,
  sites: { readonly min: number; readonly max: number },
): ExactnessTally {
  const tally: ExactnessTally = {
    runs: 0,
    dropped: { advertise: 0, share: 0, mask: 0, consistency: 0, unmask: 0 },
    largestCohort: 0,
    largestError: 0,
  };
  const attempts = fc
    .integer(sites)
    .chain((count) => fc.tuple(fc.constant(count), survivableDropouts(count), fc.string()));
  fc.assert(
    fc.property(attempts, ([count, dropouts, name]) => {
      const layout = layoutFor(count);
      const values = (site: SiteId) => valuesOf(site, name, 1);
      const { sum, survivors, aggregate } = runAttempt(consortium(layout), values, dropouts);
      const early = new Set(
        [dropouts.advertise, dropouts.share, dropouts.mask].flatMap((names) => names ?? []),
      );
      expect(survivors).toEqual(siteNames(count).filter((site) => !early.has(site)));
      expect(Buffer.from(sum).equals(Buffer.from(plainSum(layout, survivors, values)))).toBe(true);
      const error = relativeL2(aggregate.mean, plainMean(survivors, values));
      expect(error).toBeLessThan(2e-7);
      tally.runs += 1;
      tally.largestCohort = Math.max(tally.largestCohort, count);
      tally.largestError = Math.max(tally.largestError, error);
      for (const phase of PHASES) if ((dropouts[phase]?.length ?? 0) > 0) tally.dropped[phase] += 1;
    }),
    { numRuns: runs, seed },
  );
  return tally;
}
