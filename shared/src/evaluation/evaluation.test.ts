import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePlan, type Plan } from "../plan.ts";
import { consortium, fixedRandom } from "../secagg/testing/consortium.ts";
import { runAttempt, type Dropouts } from "../secagg/testing/run.ts";
import { vectorLayoutSchema } from "../secagg/layout-schema.ts";
import { roundExtras, roundLayout } from "../secagg/plan-layout.ts";
import { aurocOfCounts, countScores, SCORE_BINS, scoreBin, type ScoreCounts } from "./auroc.ts";
import { diceOfCounts, overlapOf } from "./dice.ts";
import { maskFields, masksOfSums, maskValues, type SiteOverlaps } from "./mask-extras.ts";
import { evaluationFields, evaluationOfSums, scoredClasses } from "./extras.ts";
import type { SiteScores } from "./score-fields.ts";

interface Scored {
  readonly scores: readonly number[];
  readonly truth: readonly number[];
}

/** Pair by pair, as the definition says. */
function exactAuroc({ scores, truth }: Scored): number {
  const of = (kind: number) => scores.filter((_, i) => truth[i] === kind);
  const [positives, negatives] = [of(1), of(0)];
  const won = positives.flatMap((p) => negatives.map((n) => (p > n ? 1 : p === n ? 0.5 : 0)));
  return won.reduce<number>((sum, one) => sum + one, 0) / won.length;
}

const countsOf = ({ scores, truth }: Scored, bins = SCORE_BINS): ScoreCounts =>
  countScores(scores, truth, bins);

function added(sites: readonly ScoreCounts[]): ScoreCounts {
  const sum = (of: (counts: ScoreCounts) => Float64Array) =>
    sites.map(of).reduce((a, b) => a.map((count, bin) => count + (b[bin] ?? 0)));
  return { positives: sum(({ positives }) => positives), negatives: sum(({ negatives }) => negatives) };
}

const pooled = (sites: readonly Scored[]): Scored => ({
  scores: sites.flatMap(({ scores }) => scores),
  truth: sites.flatMap(({ truth }) => truth),
});

/** Uniform in [0, 1), the same for the same seed. */
function uniform(seed: string): () => number {
  const random = fixedRandom(seed);
  return () => (new Uint32Array(random(4).buffer)[0] ?? 0) / 2 ** 32;
}

/** A site's classifier: normal logits, those of positives further up. @param sure factor on the logits */
function classifier(seed: string, images: number, { share = 0.3, apart = 1.5, sure = 1 } = {}): Scored {
  const next = uniform(seed);
  const truth = Array.from({ length: images }, (_, i) => Number(i < share * images));
  const scores = truth.map((kind) => {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    return 1 / (1 + Math.exp(-sure * (normal + apart * (kind - 0.5))));
  });
  return { scores, truth };
}

const scored = fc
  .array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1)), { maxLength: 40 })
  .map((pairs): Scored => ({ scores: pairs.map(([s]) => s), truth: pairs.map(([, t]) => t) }));

describe("AUROC of summed counts", () => {
  it("is within its own bound of the pooled value, in however few bins, and exact where no pair shares one", () => {
    fc.assert(
      fc.property(
        fc.array(scored, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 2, max: 64 }),
        (sites, bins) => {
          const found = aurocOfCounts(added(sites.map((site) => countsOf(site, bins))));
          const all = pooled(sites);
          if (!all.truth.includes(0) || !all.truth.includes(1)) {
            expect(found).toBeNull();
            return;
          }
          const { value = NaN, binError = NaN, low = NaN, high = NaN } = found ?? {};
          expect(Math.abs(value - exactAuroc(all))).toBeLessThanOrEqual(binError + 1e-12);
          expect(low).toBeLessThanOrEqual(value);
          expect(high).toBeGreaterThanOrEqual(value);
        },
      ),
    );
  });

  it.each([
    ["unsure of itself", 0.3],
    ["as it should be", 1],
    ["sure of itself", 6],
    ["too sure of itself", 12],
  ])("differs from the pooled value by less than .002 where the classifier is %s", (name, sure) => {
    const sites = [200, 350, 90].map((images, i) => classifier(`${name} ${i}`, images, { sure }));
    const found = aurocOfCounts(added(sites.map((site) => countsOf(site))));
    const error = Math.abs((found?.value ?? NaN) - exactAuroc(pooled(sites)));
    expect(error).toBeLessThan(0.002);
    expect(error).toBeLessThanOrEqual(found?.binError ?? NaN);
  });

  it("has an interval that holds the true value in about 95 of 100 draws", () => {
    // Of two normal distributions 1.5 deviations apart: Phi(1.5 / sqrt 2).
    const truth = 0.855_58;
    const draws = Array.from({ length: 200 }, (_, i) =>
      aurocOfCounts(countsOf(classifier(`draw ${i}`, 150, { share: 0.4 }))),
    );
    const held = draws.filter((found) => found !== null && found.low <= truth && truth <= found.high);
    expect(held.length / draws.length).toBeGreaterThan(0.9);
    expect(held.length / draws.length).toBeLessThan(0.99);
  });

  it("says itself how little it knows where scores are all but 0 and 1", () => {
    const site = classifier("saturated", 640, { sure: 60 });
    const { value = NaN, binError = NaN } = aurocOfCounts(countsOf(site)) ?? {};
    expect(binError).toBeGreaterThan(0.01);
    expect(Math.abs(value - exactAuroc(site))).toBeLessThanOrEqual(binError);
  });

  it("says nothing where one kind is missing, and knows nothing of its own error with one image of a kind", () => {
    expect(aurocOfCounts(countsOf({ scores: [0.1, 0.9], truth: [1, 1] }))).toBeNull();
    const single = aurocOfCounts(countsOf({ scores: [0.1, 0.9, 0.2], truth: [0, 1, 0] }));
    expect(single).toEqual({ value: 1, low: 0, high: 1, binError: 0 });
  });

  it("does not take a perfect score of few images for certain", () => {
    const bounds = (scores: number[]) => aurocOfCounts(countsOf({ scores, truth: [0, 0, 0, 1, 1, 1] }));
    // Of three tosses all are heads in 1 of 40 series at a rate of .292.
    expect(bounds([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])).toMatchObject({
      value: 1,
      low: 0.025 ** (1 / 3),
      high: 1,
    });
    expect(bounds([0.7, 0.8, 0.9, 0.1, 0.2, 0.3])).toMatchObject({
      value: 0,
      low: 0,
      high: 1 - 0.025 ** (1 / 3),
    });
  });

  it("puts higher probabilities into no lower bin, and takes nothing that is no probability", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (a, b) => {
          const [low, high] = [Math.min(a, b), Math.max(a, b)];
          expect(scoreBin(low)).toBeLessThanOrEqual(scoreBin(high));
        },
      ),
    );
    expect([scoreBin(0), scoreBin(0.5), scoreBin(1)]).toEqual([0, SCORE_BINS / 2, SCORE_BINS - 1]);
    for (const wrong of [NaN, -0.1, 1.1]) {
      expect(() => scoreBin(wrong)).toThrow(expect.objectContaining({ code: "vector.not-finite" }) as Error);
    }
  });
});

describe("Dice of summed pixels", () => {
  it("is that of all masks in one place", () => {
    const masks = fc.array(fc.tuple(fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(fc.array(masks, { minLength: 1, maxLength: 5 }), (sites) => {
        const one = (pairs: readonly (readonly [boolean, boolean])[]) =>
          overlapOf(
            pairs.map(([said]) => Number(said)),
            pairs.map(([, truth]) => Number(truth)),
          );
        const parts = sites.map(one);
        const sum = (of: (part: (typeof parts)[number]) => number) =>
          Float64Array.of(parts.reduce((total, part) => total + of(part), 0));
        const [found] = diceOfCounts({
          intersections: sum((p) => p.intersection),
          sizes: sum((p) => p.size),
        });
        const { intersection, size } = one(sites.flat());
        expect(found).toBe(size === 0 ? null : (2 * intersection) / size);
      }),
    );
  });

  it("compares no masks of two sizes", () => {
    expect(() => overlapOf([1], [1, 0])).toThrow(RangeError);
  });
});

describe("in the masked vector", () => {
  const metrics = { loss: 1, finalLoss: 1, updateNorm: 1, steps: 3, trainingMs: 1 };
  const planOf = (classes: readonly string[]) =>
    parsePlan({ federation: "lungs", title: "Lungs", rounds: 10, health: { evaluation: { classes } } });
  const BINARY = planOf(["normal", "pneumonia"]);

  /** Everything a masked round does, at toy size. */
  function masked(
    plan: ReturnType<typeof planOf>,
    found: readonly (SiteScores | null)[],
    dropouts: Dropouts = {},
  ) {
    // The moments of features are tested beside their own code, and would make this slow.
    const whole = roundLayout(plan, 2, found.length, [{ name: "weight", shape: [3], largest: 0.5 }]);
    const layout = vectorLayoutSchema.parse({ ...whole, extras: evaluationFields(plan) });
    const members = consortium(layout);
    const sites = [...members.members.keys()];
    const { aggregate } = runAttempt(
      members,
      (site) => {
        const at = sites.indexOf(site);
        const scores = found[at] ?? null;
        const health = { moments: null, heldOut: null, labelled: null, scores };
        return {
          update: new Float32Array(3),
          examples: 10 * (at + 1),
          extras: roundExtras(plan, metrics, health),
          roundingKey: new Uint8Array(32).fill(at + 1),
        };
      },
      dropouts,
    );
    return evaluationOfSums(aggregate.extras);
  }

  it("gives the pooled AUROC within .002, of the sites that are left, without those that have no labels", () => {
    const sites = [120, 80, 60, 150].map((images, i) => classifier(`masked ${i}`, images));
    const found = [...sites.map((site) => [countsOf(site)]), null];
    const round = masked(BINARY, found, { mask: ["site-003"] });
    const left = pooled(sites.slice(0, 3));
    expect(round).toMatchObject({
      sites: 3,
      classes: [{ class: "pneumonia", positives: 78, negatives: 182 }],
    });
    const auroc = round?.classes[0]?.auroc;
    expect(Math.abs((auroc?.value ?? NaN) - exactAuroc(left))).toBeLessThan(0.002);
    expect(Math.abs((auroc?.value ?? NaN) - exactAuroc(left))).toBeLessThanOrEqual(auroc?.binError ?? NaN);
  });

  it("tells each of more than two classes apart from the others, and is none where nobody has labels", () => {
    const three = planOf(["normal", "viral", "bacterial"]);
    const names = scoredClasses(["normal", "viral", "bacterial"]);
    const site = (seed: string): SiteScores =>
      names.map((name) => countsOf(classifier(`${seed} ${name}`, 40)));
    expect(masked(three, [site("a"), site("b"), site("c")])?.classes.map((one) => one.class)).toEqual(names);
    expect(masked(BINARY, [null, null, null])).toBeNull();
  });

  it("refuses a sum that no sites can have produced", () => {
    const bins = (count: number) =>
      Float64Array.from({ length: SCORE_BINS }, (_, i) => (i === 0 ? count : 0));
    const sums = (sites: number, first: number, second: number) => ({
      "evaluation:sites": Float64Array.of(sites),
      "evaluation:positives:a": bins(first),
      "evaluation:negatives:a": bins(0),
      "evaluation:positives:b": bins(second),
      "evaluation:negatives:b": bins(0),
    });
    for (const wrong of [sums(1, 3, 4), sums(0, 3, 3), sums(2, 1, 1), sums(1, 0, 0)]) {
      expect(() => evaluationOfSums(wrong)).toThrow(
        expect.objectContaining({ code: "secagg.garbled" }) as Error,
      );
    }
    expect(evaluationOfSums(sums(1, 3, 3))?.sites).toBe(1);
  });

  it("is no field where the plan does not ask, and no plan where scores would leave unmasked or patients are protected", () => {
    const fields = (health: object | null) =>
      roundLayout(parsePlan({ ...BINARY, health }), 1, 3, [{ name: "w", shape: [1], largest: 1 }]).extras;
    expect(fields({}).some(({ name }) => name.startsWith("evaluation:"))).toBe(false);
    expect(fields(BINARY.health).filter(({ name }) => name.startsWith("evaluation:"))).toHaveLength(3);
    for (const change of [
      { aggregation: { secure: "plain" } },
      { privacy: { unit: "patient", targetEpsilon: 8 } },
      { health: { evaluation: { classes: ["normal"] } } },
      { health: { evaluation: { classes: ["normal", "normal"] } } },
      { health: { evaluation: { classes: ["normal", "Doe, Jane"] } } },
    ]) {
      expect(() => parsePlan({ ...BINARY, ...change })).toThrow(
        expect.objectContaining({ code: "plan.invalid" }) as Error,
      );
    }
  });
});

describe("masks in the masked vector", () => {
  const MASKS = {
    federation: "lungs",
    title: "Lungs",
    rounds: 3,
    health: { masks: { classes: ["left", "right"] } },
  };
  const plan = parsePlan(MASKS);

  it("add up to the Dice of all of them, and a site that has none adds nothing", () => {
    const found: (SiteOverlaps | null)[] = [
      { images: 8, intersections: Float64Array.of(30, 0), sizes: Float64Array.of(100, 7) },
      { images: 16, intersections: Float64Array.of(20, 0), sizes: Float64Array.of(60, 0) },
      null,
    ];
    const values = found.map((one) => maskValues(plan, one));
    const sums = Object.fromEntries(
      maskFields(plan).map(({ name }) => [
        name,
        Float64Array.of(values.reduce((sum, of) => sum + (of[name]?.[0] ?? NaN), 0)),
      ]),
    );
    expect(masksOfSums(sums)).toEqual({
      sites: 2,
      images: 24,
      classes: [
        { class: "left", dice: 100 / 160 },
        { class: "right", dice: 0 },
      ],
    });
    expect(masksOfSums({})).toBeNull();
  });

  it("refuses counts that no masks have", () => {
    const sums = (sites: number, images: number, intersection: number, size: number) => ({
      "masks:sites": Float64Array.of(sites),
      "masks:images": Float64Array.of(images),
      "masks:intersection:a": Float64Array.of(intersection),
      "masks:size:a": Float64Array.of(size),
    });
    for (const wrong of [sums(0, 3, 0, 0), sums(4, 3, 0, 0), sums(1, 8, 3, 5), sums(1, 1, 0, 8193)])
      expect(() => masksOfSums(wrong)).toThrow(expect.objectContaining({ code: "secagg.garbled" }) as Error);
    expect(masksOfSums(sums(1, 8, 0, 0))?.classes).toEqual([{ class: "a", dice: null }]);
  });

  it("are no field where the plan does not ask, and no plan where counts would leave unmasked, patients are protected or there are volumes", () => {
    const names = (of: Plan) =>
      roundLayout(of, 1, 200, [{ name: "w", shape: [1], largest: 1 }]).extras.filter(({ name }) =>
        name.startsWith("masks:"),
      );
    expect(names(plan)).toHaveLength(6);
    expect(names(parsePlan({ ...MASKS, health: {} }))).toHaveLength(0);
    const volume = { depthPx: 32, sliceSpacingMm: 3, pixelSpacingMm: 3 };
    for (const change of [
      { aggregation: { secure: "plain" } },
      { privacy: { unit: "patient", targetEpsilon: 8 } },
      { volume, model: { dimensions: 3, imagePx: 64, patchPx: 16, depthPx: 32, patchDepthPx: 8 } },
      { health: { masks: { classes: [] } } },
      { health: { masks: { classes: ["left", "left"] } } },
    ]) {
      expect(() => parsePlan({ ...MASKS, ...change })).toThrow(
        expect.objectContaining({ code: "plan.invalid" }) as Error,
      );
    }
  });
});
