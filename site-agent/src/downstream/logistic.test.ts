import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { fitLogistic, LOGISTIC_DEFAULTS, predictLogistic } from "./logistic.ts";

/** Gaussian clouds, one per class, `apart` from each other along the first features. */
function clouds(rows: number, features: number, classes: number, apart: number, seed: number) {
  const random = new Random(seed);
  const truth = Int32Array.from({ length: rows }, (_, i) => i % classes);
  const inputs = Float32Array.from({ length: rows * features }, (_, k) => {
    const [row, feature] = [Math.floor(k / features), k % features];
    return random.normal() + (truth[row] === feature ? apart : 0);
  });
  return { inputs, truth };
}

function share(probabilities: Float64Array, truth: Int32Array, classes: number): number {
  let hits = 0;
  truth.forEach((t, i) => {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    if (row.indexOf(Math.max(...row)) === t) hits += 1;
  });
  return hits / truth.length;
}

describe("logistic regression", () => {
  it.each([2, 3])("separates %d clouds it has not seen", (classes) => {
    const train = clouds(150, 8, classes, 4, 1);
    const test = clouds(300, 8, classes, 4, 2);
    const model = fitLogistic(train.inputs, train.truth, classes);
    expect(share(predictLogistic(model, test.inputs), test.truth, classes)).toBeGreaterThan(0.93);
  });

  it("finds the minimum: the gradient by finite differences vanishes", () => {
    const { inputs, truth } = clouds(40, 3, 2, 1, 3);
    const l2 = 0.05;
    const model = fitLogistic(inputs, truth, 2, { ...LOGISTIC_DEFAULTS, l2, tolerance: 1e-8 });
    const objective = (weights: Float64Array) => {
      const probabilities = predictLogistic({ ...model, weights }, inputs);
      const entropy = truth.reduce((sum, t, i) => sum - Math.log(probabilities[2 * i + t] ?? 0), 0);
      const penalty = weights.reduce((sum, w, j) => sum + (j % 4 === 3 ? 0 : w * w), 0);
      return entropy / truth.length + (l2 / 2) * penalty;
    };
    for (let j = 0; j < model.weights.length; j++) {
      const at = (delta: number) => objective(model.weights.map((w, k) => (k === j ? w + delta : w)));
      expect(Math.abs(at(1e-4) - at(-1e-4)) / 2e-4).toBeLessThan(1e-6);
    }
  });

  it("moves its border towards the class that weighs less", () => {
    const { inputs, truth } = clouds(200, 2, 2, 1, 4);
    const weights = Array.from(truth, (t) => (t === 1 ? 5 : 1));
    const called = (model: ReturnType<typeof fitLogistic>) =>
      predictLogistic(model, inputs).filter((p, k) => k % 2 === 1 && p > 0.5).length;
    const plain = fitLogistic(inputs, truth, 2);
    const weighted = fitLogistic(inputs, truth, 2, LOGISTIC_DEFAULTS, weights);
    expect(called(weighted)).toBeGreaterThan(called(plain) + 20);
  });

  it("gives the same weights twice", () => {
    const { inputs, truth } = clouds(60, 5, 3, 1, 6);
    expect(fitLogistic(inputs, truth, 3).weights).toEqual(fitLogistic(inputs, truth, 3).weights);
  });
});
