import fc from "fast-check";
import { expect, it } from "vitest";
import { allowedBy, truePositiveRateAt } from "./scores.ts";

it("epsilon 0 allows guessing alone, a large one everything, delta its own share", () => {
  expect(allowedBy(0, 0)).toMatchObject({ auroc: 0.5, found: 0.01, advantage: 0 });
  expect(allowedBy(30, 0).auroc).toBeCloseTo(1, 9);
  expect(allowedBy(0, 0.1).advantage).toBeCloseTo(0.1, 12);
});

it("the area and the advantage allowed are those of the curve allowed", () => {
  const epsilons = fc.double({ min: 0, max: 10, noNaN: true });
  const deltas = fc.double({ min: 0, max: 0.2, noNaN: true });
  fc.assert(
    fc.property(epsilons, deltas, (epsilon, delta) => {
      const { auroc, advantage, roc } = allowedBy(epsilon, delta);
      let area = 0;
      for (const [i, { falsePositiveRate, truePositiveRate }] of roc.entries()) {
        const before = roc[i - 1];
        if (before === undefined) continue;
        const width = falsePositiveRate - before.falsePositiveRate;
        area += (width * (truePositiveRate + before.truePositiveRate)) / 2;
      }
      const gaps = roc.map((point) => point.truePositiveRate - point.falsePositiveRate);
      expect(area).toBeCloseTo(auroc, 9);
      expect(Math.max(...gaps)).toBeCloseTo(advantage, 9);
    }),
  );
});

it("a threshold is never between equal scores, and never accuses more of the others than it may", () => {
  const scores = Float64Array.of(9, 8, 8, 7, 6, 5);
  const isMember = Uint8Array.of(1, 1, 0, 1, 0, 0);
  expect(truePositiveRateAt(0, scores, isMember)()).toBeCloseTo(1 / 3, 12);
  expect(truePositiveRateAt(1 / 3, scores, isMember)()).toBe(1);
  // The other patient with score 8 was not drawn.
  expect(truePositiveRateAt(0, scores, isMember)([1, 1, 0, 1, 1, 1])).toBe(1);
  expect(truePositiveRateAt(0, scores, Uint8Array.of(1, 1, 1, 1, 1, 1))()).toBeNull();
});
