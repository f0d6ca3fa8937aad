import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { symmetricEigenvalues } from "./eigenvalues.ts";
import { featureHealth, MomentSums } from "./moments.ts";

const numbers = (n: number) =>
  fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: n, maxLength: n });

describe("eigenvalues of a symmetric matrix", () => {
  it("have its trace and the trace of its square, and are those of the diagonal where that is all", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }).chain((n) => fc.tuple(fc.constant(n), numbers(n * n))),
        ([n, values]) => {
          const matrix = Float64Array.from(values, (_, at) => {
            const [i, j] = [Math.floor(at / n), at % n];
            return ((values[i * n + j] ?? 0) + (values[j * n + i] ?? 0)) / 2;
          });
          const found = symmetricEigenvalues(matrix, n);
          const sum = (some: Iterable<number>) => [...some].reduce((a, b) => a + b, 0);
          const diagonal = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i] ?? 0);
          expect(Math.abs(sum(found) - sum(diagonal))).toBeLessThan(1e-9);
          expect(Math.abs(sum(found.map((v) => v * v)) - sum(matrix.map((v) => v * v)))).toBeLessThan(1e-7);
          const alone = matrix.map((v, at) => (Math.floor(at / n) === at % n ? v : 0));
          expect([...symmetricEigenvalues(alone, n)]).toEqual([...diagonal.sort()]);
        },
      ),
    );
  });

  it("are known ones: of the path of n places, 2 - 2 cos(k pi / (n + 1))", () => {
    const n = 40;
    const path = Float64Array.from({ length: n * n }, (_, at) => {
      const apart = Math.abs(Math.floor(at / n) - (at % n));
      return apart === 0 ? 2 : apart === 1 ? -1 : 0;
    });
    for (const [k, value] of symmetricEigenvalues(path, n).entries()) {
      expect(value).toBeCloseTo(2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)), 12);
    }
  });

  it("are not looked for among numbers that are not finite", () => {
    expect(() => symmetricEigenvalues(new Float64Array(9).fill(NaN), 3)).toThrow(RangeError);
  });
});

describe("health", () => {
  const WIDTH = 6;
  const of = (features: readonly number[][]) => {
    const sums = new MomentSums(WIDTH);
    for (const feature of features) sums.add(feature, feature);
    return featureHealth(sums.means());
  };

  it("is full where features go every way, alike", () => {
    const axes = Array.from({ length: WIDTH }, (_, i) =>
      Array.from({ length: WIDTH }, (_v, j) => Number(i === j)),
    );
    const health = of([...axes, ...axes.map((axis) => axis.map((v) => -v))]);
    expect(health.rankMe).toBeCloseTo(WIDTH, 9);
    expect(health.participationRatio).toBeCloseTo(WIDTH, 9);
    expect(health.featureStdDev).toBeCloseTo(1 / Math.sqrt(WIDTH), 9);
    expect(health.alignment).toBe(0);
  });

  it("is least where all images look alike, however long their features are", () => {
    const health = of([1, 2, 5].map((length) => Array.from({ length: WIDTH }, (_, i) => length * (i + 1))));
    expect(health.rankMe).toBeCloseTo(1, 5);
    expect(health.featureStdDev).toBeLessThan(1e-7);
  });

  it("measures how far apart two views lie, whatever their lengths", () => {
    const sums = new MomentSums(2);
    sums.add([3, 0], [0, 5]);
    sums.add([1, 0], [2, 0]);
    expect(sums.means().alignment).toBeCloseTo(1, 12);
  });
});
