import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { auroc, column } from "./metrics.ts";
import { probe, standardiser } from "./probe.ts";

/** Features on wildly different scales; the class shows in one of them only, and one never varies. */
function features(rows: number, seed: number, apart: number) {
  const random = new Random(seed);
  const classes = Int32Array.from({ length: rows }, (_, i) => i % 2);
  const values = Float32Array.from(classes, (c) => c).length;
  const matrix = new Float32Array(values * 6);
  classes.forEach((c, i) => {
    for (let j = 0; j < 5; j++) matrix[i * 6 + j] = random.normal() * 10 ** (j - 2);
    matrix[i * 6] = (apart * c + random.normal()) * 0.01;
    matrix[i * 6 + 5] = 7;
  });
  return { classes, matrix };
}

function probeAuroc(apart: number): number {
  const train = features(80, 1, apart);
  const test = features(400, 2, apart);
  const probabilities = probe({
    trainFeatures: train.matrix,
    trainClasses: train.classes,
    testFeatures: test.matrix,
    classes: 2,
    weights: new Float32Array(80).fill(1),
    l2: 0.1,
  });
  return auroc(column(probabilities, 2, 1), test.classes)() ?? NaN;
}

describe("the linear probe", () => {
  it("separates separable features, whatever their scale", () => {
    expect(probeAuroc(5)).toBeGreaterThan(0.98);
  });

  it("is at chance where there is nothing to find", () => {
    expect(Math.abs(probeAuroc(0) - 0.5)).toBeLessThan(0.12);
  });

  it("standardises by the reference alone", () => {
    const map = standardiser(Float32Array.of(0, 5, 2, 5), 2);
    expect([...map(Float32Array.of(0, 5, 2, 5))]).toEqual([-1, 0, 1, 0]);
    expect([...map(Float32Array.of(3, 9))]).toEqual([2, 0]);
  });
});
