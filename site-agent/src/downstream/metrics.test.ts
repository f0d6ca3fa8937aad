import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  accuracy,
  auprc,
  auroc,
  balancedAccuracy,
  column,
  confusionMatrix,
  expectedCalibrationError,
  overClasses,
  type Predictions,
} from "./metrics.ts";
import { precisionRecallCurve, reliability, rocCurve } from "./rate-curves.ts";

/** Few distinct scores, so that ties are common. */
const scored = fc.array(
  fc.record({ score: fc.integer({ min: -5, max: 5 }), positive: fc.boolean(), weight: fc.nat({ max: 3 }) }),
  { minLength: 2, maxLength: 60 },
);
const scoresOf = (images: readonly { score: number }[]) => images.map(({ score }) => score);
const positivesOf = (images: readonly { positive: boolean }[]) =>
  images.map(({ positive }) => Number(positive));
const binary = (scores: readonly number[], truth: readonly number[]): Predictions => ({
  classes: 2,
  probabilities: scores.flatMap((score) => [1 - score, score]),
  truth,
});

describe("AUROC", () => {
  it("equals counting pairs, ties as halves", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const positives = images.filter(({ positive }) => positive);
        const negatives = images.filter(({ positive }) => !positive);
        let won = 0;
        for (const p of positives)
          for (const n of negatives) won += p.score > n.score ? 1 : p.score === n.score ? 0.5 : 0;
        const expected =
          positives.length > 0 && negatives.length > 0 ? won / (positives.length * negatives.length) : null;
        const value = auroc(scoresOf(images), positivesOf(images))();
        if (expected === null) expect(value).toBeNull();
        else expect(value).toBeCloseTo(expected, 12);
      }),
    );
  });

  it("does not change under a monotone transform of the scores", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const positive = positivesOf(images);
        const bent = images.map(({ score }) => Math.exp(score) * 7 - 3);
        expect(auroc(bent, positive)()).toEqual(auroc(scoresOf(images), positive)());
      }),
    );
  });

  it("is the complement when scores or classes are turned round", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const positive = positivesOf(images);
        const value = auroc(scoresOf(images), positive)();
        fc.pre(value !== null);
        const turned = auroc(
          images.map(({ score }) => -score),
          positive,
        )();
        const swapped = auroc(
          scoresOf(images),
          positive.map((p) => 1 - p),
        )();
        expect(turned).toBeCloseTo(1 - value, 12);
        expect(swapped).toBeCloseTo(1 - value, 12);
      }),
    );
  });

  it("is the area under the ROC curve by trapezia", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const curve = rocCurve(scoresOf(images), positivesOf(images), 1000);
        const value = auroc(scoresOf(images), positivesOf(images))();
        if (value === null) {
          expect(curve).toEqual([]);
          return;
        }
        let area = 0;
        curve.slice(1).forEach((point, i) => {
          const before = curve[i] ?? point;
          area +=
            ((point.falsePositiveRate - before.falsePositiveRate) *
              (point.truePositiveRate + before.truePositiveRate)) /
            2;
        });
        expect(area).toBeCloseTo(value, 12);
      }),
    );
  });
});

it("weights every measure as if each image were there as many times", () => {
  fc.assert(
    fc.property(scored, (images) => {
      const repeated = images.flatMap((image) => Array.from({ length: image.weight }, () => image));
      const weights = images.map(({ weight }) => weight);
      const toPredictions = (list: typeof images) =>
        binary(
          list.map(({ score }) => (score + 5) / 10),
          positivesOf(list),
        );
      for (const measure of [accuracy, balancedAccuracy, expectedCalibrationError]) {
        const value = measure(toPredictions(images))(weights);
        const expected = measure(toPredictions(repeated))();
        if (expected === null) expect(value).toBeNull();
        else expect(value).toBeCloseTo(expected, 12);
      }
      for (const measure of [auroc, auprc]) {
        const value = measure(scoresOf(images), positivesOf(images))(weights);
        const expected = measure(scoresOf(repeated), positivesOf(repeated))();
        if (expected === null) expect(value).toBeNull();
        else expect(value).toBeCloseTo(expected, 12);
      }
    }),
  );
});

describe("on small cases", () => {
  it("gives average precision", () => {
    // Precision 1/1, 2/3 at the two recall steps of 1/2.
    expect(auprc([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])()).toBeCloseTo((1 + 2 / 3) / 2, 12);
    // Ties count together: two of four at once.
    expect(auprc([1, 1, 1, 1], [1, 0, 1, 0])()).toBeCloseTo(0.5, 12);
    expect(auprc([0.5], [0])()).toBeNull();
  });

  it("gives accuracy, balanced accuracy and the confusion matrix", () => {
    const predictions = binary([0.9, 0.2, 0.1, 0.3, 0.6], [1, 1, 0, 0, 0]);
    expect(accuracy(predictions)()).toBeCloseTo(3 / 5, 12);
    expect(balancedAccuracy(predictions)()).toBeCloseTo((1 / 2 + 2 / 3) / 2, 12);
    expect(confusionMatrix(predictions)).toEqual([
      [2, 1],
      [1, 1],
    ]);
  });

  it("measures calibration", () => {
    // Ten images at .8, eight of them right: calibrated. All right: off by .2.
    const calibrated = binary(Array<number>(10).fill(0.8), [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    expect(expectedCalibrationError(calibrated)()).toBeCloseTo(0, 12);
    const timid = binary(Array<number>(10).fill(0.8), Array<number>(10).fill(1));
    expect(expectedCalibrationError(timid)()).toBeCloseTo(0.2, 12);
  });

  it("averages one-against-rest over three classes, leaving out what is undefined", () => {
    const probabilities = [0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.6, 0.3, 0.1];
    const predictions = { classes: 3, probabilities, truth: [0, 1, 0] };
    const first = auroc(column(probabilities, 3, 0), [1, 0, 1])();
    const second = auroc(column(probabilities, 3, 1), [0, 1, 0])();
    expect(overClasses(auroc, predictions)()).toBeCloseTo(((first ?? NaN) + (second ?? NaN)) / 2, 12);
  });

  it("downsamples the ROC curve and keeps its ends", () => {
    const scores = Array.from({ length: 500 }, (_, i) => i);
    const curve = rocCurve(
      scores,
      scores.map((s) => Number(s % 3 > 0)),
      50,
    );
    expect(curve).toHaveLength(50);
    expect(curve[0]).toEqual({ falsePositiveRate: 0, truePositiveRate: 0 });
    expect(curve.at(-1)).toEqual({ falsePositiveRate: 1, truePositiveRate: 1 });
  });

  it("gives precision at each recall, whose steps sum up to the average precision", () => {
    fc.assert(
      fc.property(scored, (images) => {
        const [scores, positive] = [scoresOf(images), positivesOf(images)];
        const curve = precisionRecallCurve(scores, positive, 1000);
        const area = curve.reduce(
          (sum, { recall, precision }, i) => sum + (recall - (curve[i - 1]?.recall ?? 0)) * precision,
          0,
        );
        const expected = auprc(scores, positive)();
        if (expected === null) expect(curve).toEqual([]);
        else expect(area).toBeCloseTo(expected, 12);
      }),
    );
  });

  it("gives bins whose gaps, weighted by their images, sum up to the calibration error", () => {
    const confident = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat({ max: 1 })), {
      minLength: 1,
    });
    fc.assert(
      fc.property(confident, (images) => {
        const predictions = binary(
          images.map(([score]) => score),
          images.map(([, truth]) => truth),
        );
        const bins = reliability(predictions);
        expect(bins.reduce((sum, { images: n }) => sum + n, 0)).toBe(images.length);
        const gap = bins.reduce(
          (sum, { images: n, confidence, accuracy: right }) => sum + n * Math.abs(right - confidence),
          0,
        );
        expect(gap / images.length).toBeCloseTo(expectedCalibrationError(predictions)() ?? NaN, 12);
      }),
    );
  });
});
