import { parsePlan } from "@consilium/shared/plan";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { CachedImages } from "../../dataset/cache.ts";
import type { Findings } from "../../dataset/findings.ts";
import { Random } from "../../dataset/random.ts";
import { createEngine } from "../../engine/engine.ts";
import type { Engine } from "../../engine/types.ts";
import { vitConfig } from "../../model/sizes.ts";
import { compareEncoders } from "../comparison.ts";
import { finetuneOptions } from "../finetune-defaults.ts";
import { auroc } from "../metrics.ts";
import { renderFinetuneReport } from "../report/page.ts";
import { toyShapes } from "../testing/shapes.ts";
import type { FinetuneOptions } from "../types.ts";
import { findingsAsLabels, type FindingsSet } from "./kind.ts";
import { findingsArea, findingStatistics, type JudgedFindings } from "./measures.ts";
import { labelWeights, learnable, truthOf, type Truth } from "../../dataset/finding-truth.ts";

const { model } = parsePlan({
  federation: "toy",
  title: "Toy",
  rounds: 1,
  model: { imagePx: 16, patchPx: 4 },
});
const config = vitConfig(model);
const sizePx = 16;

/** Bright and dark rectangles that are there or painted over; every third image does not say of one of them. */
function toyFindings(images: number, seed: number): FindingsSet {
  const { cache } = toyShapes({ images, sizePx, seed });
  const random = new Random(seed, 5);
  const there = cache.records.map(() => ({
    bright: random.uniform() < 0.3,
    dark: random.uniform() < 0.6,
  }));
  const read: CachedImages["read"] = (indices, out) => {
    cache.read(indices, out);
    for (let i = 0; i < indices.length; i++) {
      const own = there[indices[i] ?? 0];
      for (let at = 0; at < sizePx ** 2; at++) {
        const value = out[i * sizePx ** 2 + at] ?? 0;
        const isHidden = value > 165 ? !own?.bright : value < 75 ? !own?.dark : false;
        if (isHidden) out[i * sizePx ** 2 + at] = 120;
      }
    }
  };
  const findings: Findings = new Map(
    cache.records.map(({ image }, i) => {
      const names = (["bright", "dark"] as const).filter((name) => there[i]?.[name]);
      const unknown = i % 3 === 0 ? [i % 2 === 0 ? "bright" : "dark"] : [];
      return [image, { present: names.filter((name) => !unknown.includes(name)), unknown }];
    }),
  );
  return { cache: { ...cache, read }, findings };
}

const options: FinetuneOptions = {
  ...finetuneOptions("findings"),
  seeds: 1,
  report: true,
  settings: {
    ...finetuneOptions("findings").settings,
    batchSize: 8,
    minSteps: 40,
    maxSteps: 40,
    learningRate: 2e-3,
    layerDecay: 0.9,
  },
};

describe("several findings on an image", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("are learned side by side, measured one by one and together, and explained", async () => {
    const train = toyFindings(40, 1);
    const outcome = await compareEncoders(
      findingsAsLabels(train, config, options.settings),
      {
        engine,
        model,
        train,
        test: toyFindings(40, 2),
        encoders: { scratch: true, own: null, global: null },
        options,
      },
      () => undefined,
      new AbortController().signal,
    );
    const { result, exemplar } = outcome;
    if (result.task === "classification") throw new Error(result.task);
    expect(result).toMatchObject({ task: "findings", classes: ["bright", "dark"], differences: [] });
    const measures = result.rows[0]?.measures ?? {};
    const [mean, bright, dark] = ["auroc", "auroc bright", "auroc dark"].map((name) => measures[name]?.value);
    expect(bright).toBeGreaterThan(0.8);
    expect(dark).toBeGreaterThan(0.8);
    expect(mean).toBeCloseTo(((bright ?? NaN) + (dark ?? NaN)) / 2, 12);
    expect(measures.auroc?.low ?? 0).toBeLessThanOrEqual(mean ?? NaN);
    expect(measures.auroc?.high ?? 1).toBeGreaterThanOrEqual(mean ?? NaN);
    // The same network as a federation's.
    const names = ["bright", "dark"];
    const asked = await compareEncoders(
      findingsAsLabels(train, config, options.settings, names),
      {
        engine,
        model,
        train,
        test: toyFindings(40, 2),
        encoders: { scratch: false, own: null, global: exemplar?.model ?? null },
        options: { ...options, modes: ["released"], releasedClasses: names, seeds: 3, report: false },
      },
      () => undefined,
      new AbortController().signal,
    );
    if (asked.result.task === "classification") throw new Error(asked.result.task);
    expect(asked.result.rows).toEqual([{ ...result.rows[0], from: "global", mode: "released" }]);
    const [worst] = exemplar?.cases ?? [];
    expect(worst?.shapes).toMatchObject({ kind: "finding", saliency: { grid: 4 } });
    const page = renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: "test" });
    expect(page).toContain("AUROC by class");
    expect(page).toContain("Calibration of dark");
    expect(page).not.toMatch(/NaN|undefined/);
  }, 60_000);

  it("are refused where nothing can be told apart", () => {
    const { cache, findings } = toyFindings(6, 1);
    const all = new Map([...findings.keys()].map((image) => [image, { present: ["bright"], unknown: [] }]));
    expect(() => findingsAsLabels({ cache, findings: all }, config, options.settings)).toThrow(
      expect.objectContaining({ code: "labels.too-few" }) as Error,
    );
  });
});

describe("what is known of findings", () => {
  it("is there, not there or not known, and of what a set does not speak of it says nothing", () => {
    const spoken = new Set(["a", "b", "c"]);
    expect(truthOf({ present: ["a"], unknown: ["b"] }, ["a", "b", "c", "d"], spoken)).toEqual([
      1,
      null,
      0,
      null,
    ]);
    const findings: Findings = new Map([
      ["1", { present: ["a", "b"], unknown: ["c"] }],
      ["2", { present: ["c", "b"], unknown: ["a"] }],
      ["3", { present: ["b"], unknown: ["c"] }],
    ]);
    // b is always there, and of c nobody knows where it is not: image 2 alone speaks of it.
    expect(learnable(findings)).toEqual(["a"]);
  });

  const truths = fc.integer({ min: 1, max: 4 }).chain((columns) =>
    fc.array(
      fc.array(fc.constantFrom(0, 1, null), {
        minLength: columns,
        maxLength: columns,
      }) as fc.Arbitrary<Truth>,
      { minLength: 1, maxLength: 30 },
    ),
  );

  it("weighs the same in every finding, and on both sides where that is asked for", () => {
    fc.assert(
      fc.property(truths, (rows) => {
        for (const balance of [true, false]) {
          const weights = labelWeights(rows, balance);
          for (const c of (rows[0] ?? []).keys()) {
            const of = (value: 0 | 1 | null): number =>
              rows.reduce((sum, row, i) => (row[c] === value ? sum + (weights[i]?.[c] ?? NaN) : sum), 0);
            const has = (value: 0 | 1): boolean => rows.some((row) => row[c] === value);
            expect(of(null)).toBe(0);
            expect(of(0) + of(1)).toBeCloseTo(has(0) || has(1) ? rows.length : 0, 9);
            if (balance && has(0) && has(1)) expect(of(0)).toBeCloseTo(of(1), 9);
          }
        }
      }),
    );
  });

  it("decides which images a measure goes by", () => {
    const random = new Random(8);
    const judged = Array.from({ length: 60 }, (_, i): JudgedFindings => {
      const truth: Truth = [i % 4 === 0 ? null : i % 2 === 0 ? 1 : 0, i % 3 === 0 ? 1 : 0];
      return { truth, probabilities: truth.map((t) => 1 / (1 + Math.exp(-random.normal() - (t ?? 0)))) };
    });
    const known = judged.filter(({ truth }) => truth[0] !== null);
    const alone = auroc(
      known.map(({ probabilities }) => probabilities[0] ?? NaN),
      known.map(({ truth }) => truth[0] ?? NaN),
    );
    const statistics = findingStatistics(judged, ["a", "b"]);
    expect(statistics["auroc a"]?.()).toBeCloseTo(alone() ?? NaN, 12);
    // A resample counts an image as often as it was drawn.
    const weights = judged.map((_, i) => i % 3);
    const drawn = known.flatMap((one) => Array<JudgedFindings>(weights[judged.indexOf(one)] ?? 0).fill(one));
    const again = auroc(
      drawn.map(({ probabilities }) => probabilities[0] ?? NaN),
      drawn.map(({ truth }) => truth[0] ?? NaN),
    );
    expect(statistics["auroc a"]?.(weights)).toBeCloseTo(again() ?? NaN, 12);
    const area = findingsArea(
      judged,
      ["a", "b"],
      judged.map((_, i) => `p${i}`),
    );
    expect(area?.area).toBeCloseTo(statistics.auroc?.() ?? NaN, 12);
  });
});
