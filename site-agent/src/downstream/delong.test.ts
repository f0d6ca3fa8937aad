import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { areaInfluence, meanArea, testDifference, type AreaInfluence } from "./delong.ts";
import { auroc } from "./metrics.ts";

const alone = (count: number): string[] => Array.from({ length: count }, (_, i) => `p${i}`);

function influence(scores: readonly number[], positive: readonly number[], patients: readonly string[]) {
  const found = areaInfluence(scores, positive, patients);
  if (found === null) throw new Error("no area");
  return found;
}

/** The variance of A - B as the paper writes it: every pair of a positive and a negative, equations 4 to 6. */
function reference(a: readonly number[], b: readonly number[], positive: readonly number[]): number {
  const places = (wanted: number) => positive.flatMap((value, i) => (value === wanted ? [i] : []));
  const [pos, neg] = [places(1), places(0)];
  const psi = (x = NaN, y = NaN): number => (x > y ? 1 : x === y ? 0.5 : 0);
  const mean = (values: readonly number[]): number => values.reduce((s, v) => s + v, 0) / values.length;
  const v10 = (s: readonly number[]) => pos.map((i) => mean(neg.map((j) => psi(s[i], s[j]))));
  const v01 = (s: readonly number[]) => neg.map((j) => mean(pos.map((i) => psi(s[i], s[j]))));
  const covariance = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, i) => sum + (value - mean(x)) * ((y[i] ?? NaN) - mean(y)), 0) / (x.length - 1);
  const s = (x: readonly number[], y: readonly number[]): number =>
    covariance(v10(x), v10(y)) / pos.length + covariance(v01(x), v01(y)) / neg.length;
  return s(a, a) + s(b, b) - 2 * s(a, b);
}

describe("DeLong's test", () => {
  it("gives what an independent implementation in NumPy gave", () => {
    const positive = [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0];
    const a = [2, -1.4, 1.6, -0.6, 0.7, -0.2, -2, 1, 0.3, 3.3, 1.4, -0.4, 0.9, -0.7, -1.1, -0.4];
    const b = [0.5, 0.4, 1.6, -0.2, 0.6, 1.5, 0.5, 0.1, 0.4, 0.5, 2.5, -0.3, 0.4, 1, -0.9, -0.3];
    const patients = alone(16);
    const [of, over] = [influence(a, positive, patients), influence(b, positive, patients)];
    expect(of.area).toBeCloseTo(0.6825396825396826, 14);
    expect(over.area).toBeCloseTo(0.6507936507936508, 14);
    const tested = testDifference(of, over, patients);
    expect(tested?.value).toBeCloseTo(0.031746031746031744, 14);
    expect(((tested?.high ?? NaN) - (tested?.low ?? NaN)) / 2 / 1.959963984540054).toBeCloseTo(
      0.18022456434128148,
      12,
    );
    expect(tested?.p).toBeCloseTo(0.860178390311068, 12);
  });

  const scored = fc.array(
    fc.record({
      a: fc.integer({ min: -4, max: 4 }),
      b: fc.integer({ min: -4, max: 4 }),
      y: fc.nat({ max: 1 }),
    }),
    { minLength: 4, maxLength: 40 },
  );

  it("agrees with every pair counted, ties as halves", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const positive = images.map(({ y }) => y);
        const [a, b] = [images.map((each) => each.a), images.map((each) => each.b)];
        const patients = alone(images.length);
        const [of, over] = [areaInfluence(a, positive, patients), areaInfluence(b, positive, patients)];
        const positives = positive.filter(Boolean).length;
        if (positives < 2 || images.length - positives < 2) return [of, over].every((area) => area === null);
        if (of === null || over === null) return false;
        expect(of.area).toBeCloseTo(auroc(a, positive)() ?? NaN, 12);
        const variance = reference(a, b, positive);
        const tested = testDifference(of, over, patients);
        if (tested === null) expect(variance).toBeCloseTo(0, 12);
        else expect(((tested.high - tested.low) / 2 / 1.959963984540054) ** 2).toBeCloseTo(variance, 12);
        const back = testDifference(over, of, patients);
        expect(back?.p).toEqual(tested?.p);
        return true;
      }),
    );
  });

  it("does not take an image shown twice for twice the knowledge", () => {
    const random = new Random(3);
    const positive = Array.from({ length: 60 }, (_, i) => i % 2);
    const skill = (of: number) => positive.map((y) => of * y + random.normal());
    const [a, b] = [skill(1.5), skill(0.5)];
    const patients = alone(60);
    const tested = (repeat: number): ReturnType<typeof testDifference> => {
      const again = <T>(values: readonly T[]): T[] => Array.from({ length: repeat }, () => values).flat();
      const of = (scores: readonly number[]): AreaInfluence =>
        influence(again(scores), again(positive), again(patients));
      return testDifference(of(a), of(b), again(patients));
    };
    const [once, thrice] = [tested(1), tested(3)];
    expect(thrice?.value).toBeCloseTo(once?.value ?? NaN, 12);
    expect(thrice?.low).toBeCloseTo(once?.low ?? NaN, 12);
    expect(thrice?.p).toBeCloseTo(once?.p ?? NaN, 12);
  });

  it("averages areas with what is common to them", () => {
    const random = new Random(5);
    const positive = Array.from({ length: 40 }, (_, i) => i % 2);
    const patients = alone(40);
    const [a, b] = [1, 2].map(() =>
      influence(
        positive.map((y) => y + random.normal()),
        positive,
        patients,
      ),
    );
    if (a === undefined || b === undefined) throw new Error("no areas");
    expect(meanArea([a, a])).toEqual(a);
    expect(meanArea([a, b])?.area).toBeCloseTo((a.area + b.area) / 2, 12);
    expect(testDifference(a, a, patients)).toBeNull();
  });

  it("has a p below .05 in about one of twenty tests of encoders that are equally good", () => {
    const random = new Random(11);
    const positive = Array.from({ length: 80 }, (_, i) => i % 2);
    const patients = alone(80);
    const one = () =>
      influence(
        positive.map((y) => y + random.normal()),
        positive,
        patients,
      );
    const tests = 2000;
    const found = Array.from({ length: tests }, () => testDifference(one(), one(), patients)?.p ?? 1);
    const share = found.filter((p) => p < 0.05).length / tests;
    expect(share).toBeGreaterThan(0.035);
    expect(share).toBeLessThan(0.07);
  });
});
