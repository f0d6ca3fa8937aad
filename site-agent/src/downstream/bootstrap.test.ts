import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { bootstrapByPatient } from "./bootstrap.ts";
import { accuracy, auroc, type Predictions } from "./metrics.ts";

/** `images` scored images of which each patient owns `perPatient`. */
function sample(images: number, perPatient: number, seed: number) {
  const random = new Random(seed);
  const positive = Array.from({ length: images }, (_, i) => Math.floor(i / perPatient) % 2);
  const scores = positive.map((p) => p + random.normal());
  const patients = Array.from({ length: images }, (_, i) => `patient-${Math.floor(i / perPatient)}`);
  return { positive, scores, patients };
}

const named = (letters: string): string[] => Array.from(letters);

describe("the bootstrap by patient", () => {
  it("encloses the value, narrows with more patients and depends on its seed alone", () => {
    const widths = [60, 600].map((images) => {
      const { positive, scores, patients } = sample(images, 1, 3);
      const options = { resamples: 500, seed: 7, level: 0.95 };
      const { area } = bootstrapByPatient({ area: auroc(scores, positive) }, patients, options);
      expect(bootstrapByPatient({ area: auroc(scores, positive) }, patients, options).area).toEqual(area);
      expect(area).not.toBeNull();
      const { value, low, high } = area ?? { value: NaN, low: NaN, high: NaN };
      expect(low).toBeLessThan(value);
      expect(high).toBeGreaterThan(value);
      return (high ?? NaN) - (low ?? NaN);
    });
    expect(widths[1]).toBeLessThan((widths[0] ?? 0) / 2);
  });

  it("has the width that the binomial distribution gives", () => {
    const predictions: Predictions = {
      classes: 2,
      probabilities: Array.from({ length: 400 }, () => [0.2, 0.8]).flat(),
      truth: Array.from({ length: 400 }, (_, i) => Number(i % 4 > 0)),
    };
    const patients = Array.from({ length: 400 }, (_, i) => String(i));
    const { share } = bootstrapByPatient({ share: accuracy(predictions) }, patients);
    const expected = 1.96 * Math.sqrt((0.75 * 0.25) / 400);
    expect((share?.high ?? NaN) - (share?.low ?? NaN)).toBeCloseTo(2 * expected, 1.5);
    expect(share?.value).toBe(0.75);
  });

  it("draws a patient's images together: repeated images do not narrow the interval", () => {
    const single = sample(80, 1, 5);
    const tripled = {
      scores: single.scores.flatMap((s) => [s, s, s]),
      positive: single.positive.flatMap((p) => [p, p, p]),
      patients: single.patients.flatMap((p) => [p, p, p]),
    };
    const width = ({ scores, positive, patients }: typeof tripled) => {
      const { area } = bootstrapByPatient({ area: auroc(scores, positive) }, patients);
      return (area?.high ?? NaN) - (area?.low ?? NaN);
    };
    expect(Math.abs(width(tripled) - width(single))).toBeLessThan(0.1 * width(single));
  });

  it("gives null where nothing is defined", () => {
    const patients = named("abcdef");
    const { area } = bootstrapByPatient({ area: auroc([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1]) }, patients);
    expect(area).toBeNull();
  });

  it("claims no interval from a perfect score, one patient, or resamples that lack a class", () => {
    const bounds = (scores: number[], positive: number[], patients: string[]) =>
      bootstrapByPatient({ area: auroc(scores, positive) }, patients).area;
    const none = { low: null, high: null };
    expect(bounds([1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 0, 1, 1, 1, 1], named("abcdefgh"))).toMatchObject(none);
    expect(bounds([1, 3, 2, 4], [0, 0, 1, 1], named("aaaa"))).toMatchObject(none);
    // Of two patients with a positive, one resample in nine has neither.
    const { positive, scores, patients } = sample(20, 1, 3);
    const few = positive.map((p, i) => Number(p === 1 && i < 4));
    expect(bounds(scores, few, patients)).toMatchObject(none);
    expect(bounds(scores, positive, patients)?.low).toBeGreaterThan(0);
  });
});
