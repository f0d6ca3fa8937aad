import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { learningRateAt } from "@consilium/shared/schedule";
import { restartFactor } from "./schedule.ts";

const schedule = { learningRate: 1e-3, warmupRounds: 2, rounds: 12 };

describe("the learning rate", () => {
  it("rises linearly, peaks after the warm-up, and falls to zero as half a cosine", () => {
    expect(learningRateAt(schedule, 1, 0)).toBe(0);
    expect(learningRateAt(schedule, 1, 0.5)).toBeCloseTo(0.25e-3, 12);
    expect(learningRateAt(schedule, 2, 0)).toBeCloseTo(0.5e-3, 12);
    expect(learningRateAt(schedule, 3, 0)).toBe(1e-3);
    expect(learningRateAt(schedule, 8, 0)).toBeCloseTo(0.5e-3, 12);
    expect(learningRateAt(schedule, 12, 1)).toBeCloseTo(0, 12);
  });

  it("does not depend on how many steps a site makes in a round", () => {
    expect(learningRateAt(schedule, 5, 3 / 6)).toBe(learningRateAt(schedule, 5, 30 / 60));
  });

  it("stays between zero and the peak for every plan", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (rounds, warmup, at, fraction) => {
          const round = 1 + Math.floor(at * (rounds - 1));
          const rate = learningRateAt(
            { learningRate: 0.1, warmupRounds: warmup * rounds, rounds },
            round,
            fraction,
          );
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(0.1);
        },
      ),
    );
  });
});

describe("after a reset of the optimiser", () => {
  it("the rate comes back within ten steps, from the first on", () => {
    expect([0, 4, 9, 50].map(restartFactor)).toEqual([0.1, 0.5, 1, 1]);
  });
});
