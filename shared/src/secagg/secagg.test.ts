import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConsiliumError } from "../errors.ts";
import type { SiteId } from "../ids.ts";
import { encoder } from "./encode.ts";
import { geometryOf } from "./layout.ts";
import { vectorLayoutSchema } from "./layout-schema.ts";
import { consortium, siteNames } from "./testing/consortium.ts";
import { assertExactSums, layoutFor, plainSum, valuesOf } from "./testing/exactness.ts";
import { maskAll, runAttempt, type Dropouts } from "./testing/run.ts";
import { thresholdOf } from "./threshold.ts";

const subsets = (sites: number) =>
  fc.record({
    advertise: dropped(sites),
    share: dropped(sites),
    mask: dropped(sites),
    consistency: dropped(sites),
    unmask: dropped(sites),
  });

/** Most runs lose few sites, so that most come to an end. */
const dropped = (sites: number) =>
  fc
    .tuple(fc.subarray(siteNames(sites)), fc.nat(3))
    .map(([names, rare]) => (rare === 0 ? names.slice(0, 2) : []));

/** Who is left in each round, and whether that suffices; told apart from how the rounds work. */
function expected(sites: number, dropouts: Dropouts): readonly string[] | "too few" {
  const need = Math.max(3, thresholdOf(sites));
  let left = siteNames(sites);
  let survivors = left;
  for (const stage of ["advertise", "share", "mask", "consistency", "unmask"] as const) {
    left = left.filter((site) => !(dropouts[stage] ?? []).includes(site));
    if (stage === "mask") survivors = left;
    if (left.length < (stage === "consistency" || stage === "unmask" ? thresholdOf(sites) : need))
      return "too few";
  }
  return survivors;
}

describe("an attempt", () => {
  it("gives exactly the sum of the survivors' encoded vectors, or ends with too few sites", () => {
    const outcomes = { sums: 0, ends: 0 };
    fc.assert(
      fc.property(
        fc
          .integer({ min: 3, max: 7 })
          .chain((sites) =>
            fc.tuple(fc.constant(sites), subsets(sites), fc.constantFrom("wide", "narrow"), fc.string()),
          ),
        ([sites, dropouts, link, seed]) => {
          const layout = layoutFor(sites, link);
          const values = (site: SiteId) => valuesOf(site, seed);
          const survivors = expected(sites, dropouts);
          if (survivors === "too few") {
            outcomes.ends++;
            expect(() => runAttempt(consortium(layout), values, dropouts)).toThrow(
              expect.objectContaining({ code: "secagg.too-few-sites" }) as Error,
            );
            return;
          }
          outcomes.sums++;
          const { sum, survivors: listed } = runAttempt(consortium(layout), values, dropouts);
          expect(listed).toEqual(survivors);
          expect(Buffer.from(sum)).toEqual(Buffer.from(plainSum(layout, survivors, values)));
        },
      ),
      { numRuns: 16, seed: 20_240_501 },
    );
    expect(outcomes.sums).toBeGreaterThan(5);
    expect(outcomes.ends).toBeGreaterThan(3);
  });

  it("gives exactly that sum and plain averaging's mean, wherever sites fall silent", () => {
    // A thousand attempts of up to 40 sites: npm run exactness.
    const { runs, largestCohort } = assertExactSums(6, 20_240_502, { min: 3, max: 10 });
    expect(runs).toBe(6);
    expect(largestCohort).toBeGreaterThan(5);
  });

  it("averages as federated averaging does, up to one rounding step of each site", () => {
    const layout = layoutFor(5);
    const values = (site: SiteId) => valuesOf(site, "mean");
    const { aggregate, survivors } = runAttempt(consortium(layout), values, { mask: ["site-003"] });
    const weights = survivors.map((site) => Math.min(values(site).examples, 1000));
    const total = weights.reduce((a, b) => a + b);
    expect(aggregate.examples).toBe(total);
    const geometry = geometryOf(layout);
    for (const [i, mean] of aggregate.mean.entries()) {
      const bound = i < 37 ? 0.05 : 2;
      const clip = (value: number) => Math.max(-bound, Math.min(bound, value));
      const exact =
        survivors.reduce(
          (sum, site, k) => sum + clip(values(site).update[i] ?? NaN) * (weights[k] ?? NaN),
          0,
        ) / total;
      const step = ((bound / geometry.bodyLevels) * survivors.length * layout.examplesCap) / total;
      expect(Math.abs(mean - exact)).toBeLessThanOrEqual(step + Math.abs(exact) * 2 ** -24);
    }
    const loss = survivors.reduce(
      (sum, site, k) => sum + (values(site).extras["loss"]?.[0] ?? NaN) * (weights[k] ?? NaN),
      0,
    );
    expect(aggregate.extras["loss"]?.[0]).toBeCloseTo(loss / total, 6);
    const first = survivors.reduce((sum, site) => sum + (values(site).extras["histogram"]?.[0] ?? NaN), 0);
    expect(aggregate.extras["histogram"]?.[0]).toBe(first);
    const clipped = survivors.flatMap((site) =>
      [...values(site).update].filter((v, i) => Math.abs(v) > (i < 37 ? 0.05 : 2)),
    );
    expect(clipped.length).toBeGreaterThan(0);
    expect(aggregate.clipped).toBe(clipped.length);
  });

  it("goes on from states that were stored and read again", () => {
    const some = consortium(layoutFor(3));
    const { states } = maskAll(some);
    for (const state of states.values()) expect(structuredClone(state)).toEqual(state);
  });

  it("is refused below three sites", () => {
    expect(vectorLayoutSchema.safeParse({ ...layoutFor(3), sites: 2 }).success).toBe(false);
    const trio = consortium(layoutFor(3));
    for (const stage of ["advertise", "share", "mask"] as const) {
      try {
        runAttempt(trio, (site) => valuesOf(site, "x"), { [stage]: ["site-001"] });
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(ConsiliumError);
        expect(error).toMatchObject({ code: "secagg.too-few-sites", culprits: ["site-001"] });
      }
    }
  });
});

it("an update that is not finite is refused before anything is rounded", () => {
  const values = valuesOf("a" as SiteId, "nan");
  values.update[40] = NaN;
  const { body } = encoder(layoutFor(3), values);
  expect(() => body(0, 176)).toThrow(
    expect.objectContaining({ code: "vector.not-finite", culprits: ["norm.bias"] }) as Error,
  );
});
