import { describe, expect, it } from "vitest";
import type { LabelledImage } from "../dataset/labels.ts";
import { Random } from "../dataset/random.ts";
import { encoderDifferences } from "./differences.ts";
import { evaluateRun, summarise, type Run } from "./evaluation.ts";

const random = new Random(9);
const images = Array.from({ length: 120 }, (_, index): LabelledImage => ({
  index,
  patient: `p${index >> 1}`,
  label: index % 4 < 2 ? "no" : "yes",
}));
const test = { images, classes: ["no", "yes"] };

/** A run whose scores tell the classes apart by `skill` standard deviations. */
function run(from: Run["from"], seed: number, skill: number): Run {
  const probabilities = images.flatMap(({ label }) => {
    const p = 1 / (1 + Math.exp(-(skill * (label === "yes" ? 1 : -1) + random.normal())));
    return [1 - p, p];
  });
  const losses = Array.from({ length: 25 }, (_, i) => 25 - i);
  return {
    from,
    mode: "finetune",
    seed,
    labels: { images: 10, patients: 8 },
    losses,
    choice: null,
    probabilities,
  };
}

describe("evaluation", () => {
  it("gives each run a row with intervals and details without any image's score", () => {
    const { row, detail } = evaluateRun(run("global", 1, 1), test);
    for (const { value, low, high } of [row.auroc, row.accuracy]) {
      expect(low).toBeLessThan(value);
      expect(high).toBeGreaterThan(value);
    }
    expect(detail.confusion.flat().reduce((sum, n) => sum + n, 0)).toBe(120);
    expect(detail.roc.map((curve) => curve.class)).toEqual(["yes"]);
    expect(detail.losses).toHaveLength(10);
    expect(detail.losses[0]).toBeGreaterThan(detail.losses[9] ?? NaN);
    expect(JSON.stringify({ row, detail })).not.toMatch(/p\d/);
  });

  it("averages seeds and compares with scratch on the same patients", () => {
    const runs = [run("scratch", 1, 0), run("scratch", 2, 0), run("global", 1, 1.5), run("global", 2, 1.5)];
    const [scratch, global] = summarise(runs, test);
    const means = runs.map((r) => evaluateRun(r, test).row.auroc.value);
    expect(scratch).toMatchObject({ from: "scratch", seeds: 2, aurocGain: null });
    expect(scratch?.aurocMean).toBeCloseTo(((means[0] ?? 0) + (means[1] ?? 0)) / 2, 12);
    expect(global?.aurocGain?.value).toBeCloseTo((global?.aurocMean ?? 0) - (scratch?.aurocMean ?? 0), 12);
    expect(global?.aurocGain?.low).toBeGreaterThan(0.2);
  });

  it("says what every encoder is worth over every other, in two ways that agree", () => {
    const runs = [run("scratch", 1, 0), run("own", 1, 0.8), run("global", 1, 1.5)];
    const found = encoderDifferences(runs, test);
    expect(found.map(({ from, over }) => `${from} ${over}`)).toEqual([
      "own scratch",
      "global scratch",
      "global own",
    ]);
    for (const { bootstrap, delong } of found) {
      expect(delong?.value).toBeCloseTo(bootstrap?.value ?? NaN, 12);
      expect(Math.abs((delong?.low ?? NaN) - (bootstrap?.low ?? NaN))).toBeLessThan(0.03);
      expect(Math.abs((delong?.high ?? NaN) - (bootstrap?.high ?? NaN))).toBeLessThan(0.03);
    }
    expect(found[1]?.delong?.p).toBeLessThan(0.001);
    expect(encoderDifferences([run("global", 1, 1)], test)).toEqual([]);
  });

  it("refuses a test set of one class", () => {
    const one = { images: images.map((image) => ({ ...image, label: "no" })), classes: ["no", "yes"] };
    expect(() => evaluateRun(run("global", 1, 1), one)).toThrow(
      expect.objectContaining({ code: "labels.too-few" }) as Error,
    );
  });
});
