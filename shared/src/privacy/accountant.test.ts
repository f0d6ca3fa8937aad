import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epsilonOf, noiseMultiplierFor, OPACUS_ORDERS, renyiOf, type NoisySteps } from "./accountant.ts";
import { sampledGaussianRenyi } from "./renyi.ts";

const OPACUS = { orders: OPACUS_ORDERS, terms: "signed" } as const;

/** Relative. */
const expectNear = (actual: number, expected: number, tolerance = 1e-8): void => {
  expect(Math.abs(actual / expected - 1)).toBeLessThan(tolerance);
};

describe("published and reference values", () => {
  it.each([
    [1.5, 6.70579741e-4],
    [2.5, 1.0854871e-3],
    [5, 2.18075656e-3],
    [50, 2.38460375e-2],
    [100, 167.416308],
  ])("dp_accounting, 50 steps of q .01 and sigma 2.5, order %f", (order, expected) => {
    const [renyi = NaN] = renyiOf([{ sampleRate: 0.01, noiseMultiplier: 2.5, steps: 50 }], {
      orders: [order],
    });
    // As many digits as the references were printed with.
    expectNear(Number(renyi.toPrecision(9)), expected);
  });

  it("dp_accounting, to all of its digits", () => {
    const steps = { sampleRate: 0.01, noiseMultiplier: 2.5, steps: 50 };
    const renyi = renyiOf([steps], { orders: [1.5, 2.5, 5, 50, 100] });
    const expected = [
      0.000670579740668356, 0.0010854871043885562, 0.0021807565623080077, 0.023846037538707728,
      167.41630754841827,
    ];
    renyi.forEach((value, i) => {
      expectNear(value, expected[i] ?? NaN);
    });
    const spent = { sampleRate: 0.04, noiseMultiplier: 1.5, steps: 2250 };
    expectNear(epsilonOf([spent], 1e-5), 7.329334702381698);
  });

  it("the Gaussian mechanism without sampling", () => {
    const epsilon = epsilonOf([{ sampleRate: 1, noiseMultiplier: 4.530877117, steps: 1 }], 1e-6);
    expectNear(epsilon, 1.0000002896457596);
    expect(epsilon).toBeCloseTo(1, 6);
  });

  it("Opacus, which adds terms with their signs", () => {
    const spent = { sampleRate: 0.04, noiseMultiplier: 1.5, steps: 2250 };
    expectNear(epsilonOf([spent], 1e-5, OPACUS), 7.3291111714);
    const work = { sampleRate: 0.04, steps: 2250 };
    const sigma = noiseMultiplierFor({ epsilon: 8, delta: 1e-5 }, work, { ...OPACUS, tolerance: 0.01 });
    expect(sigma).toBe(1.416015625);
  });

  // The integral itself, by mpmath with 60 digits.
  it.each([
    [0.01, 2.5, 1.5, 1.30014179437608e-5],
    [0.5, 1, 1.1, 0.156130475685493],
    [0.9, 2, 1.5, 0.15371663095863],
    [0.001, 0.5, 3.3, 0.000323014174732653],
    [0.2, 0.8, 10.9, 6.74361844453326],
    [0.04, 1.5, 4.5, 0.00215061630317894],
  ])("the divergence itself: q %f, sigma %f, order %f", (q, sigma, order, expected) => {
    expectNear(sampledGaussianRenyi(q, sigma, order, "signed"), expected);
    expect(sampledGaussianRenyi(q, sigma, order)).toBeGreaterThanOrEqual(expected * (1 - 1e-9));
  });
});

describe("properties", () => {
  const rate = fc.double({ min: 1e-4, max: 1, noNaN: true });
  const noise = fc.double({ min: 0.3, max: 20, noNaN: true });
  const order = fc.oneof(fc.integer({ min: 2, max: 64 }), fc.double({ min: 1.1, max: 12, noNaN: true }));
  const work: fc.Arbitrary<NoisySteps> = fc.record({
    sampleRate: rate,
    noiseMultiplier: noise,
    steps: fc.integer({ min: 0, max: 10_000 }),
  });
  // Rounding where A is 1 + 1e-9.
  const slack = (value: number): number => 1e-6 * value + 1e-12;

  it("the bound is never below the divergence, and both are one at whole orders", () => {
    fc.assert(
      fc.property(rate, noise, order, (q, sigma, alpha) => {
        const bound = sampledGaussianRenyi(q, sigma, alpha);
        expect(bound + slack(bound)).toBeGreaterThanOrEqual(sampledGaussianRenyi(q, sigma, alpha, "signed"));
        // Sampling only ever helps.
        expect(bound).toBeLessThanOrEqual(
          Number.isInteger(alpha) ? (alpha / (2 * sigma ** 2)) * (1 + 1e-9) : Infinity,
        );
      }),
    );
  });

  it("grows with the rate, with the order's steps, and with less noise", () => {
    fc.assert(
      fc.property(work, fc.double({ min: 1, max: 3, noNaN: true }), (spent, factor) => {
        const epsilon = epsilonOf([spent], 1e-6);
        const more = [
          { ...spent, sampleRate: Math.min(1, spent.sampleRate * factor) },
          { ...spent, noiseMultiplier: spent.noiseMultiplier / factor },
          { ...spent, steps: Math.ceil(spent.steps * factor) },
        ];
        // The bound of fractional orders need not grow with the rate near 1, where whole orders win by little.
        for (const other of more)
          expect(epsilonOf([other], 1e-6) * 1.001 + 1e-9).toBeGreaterThanOrEqual(epsilon);
      }),
      { numRuns: 12 },
    );
  });

  it("adds up: the parts cost what the whole costs, in any order", () => {
    fc.assert(
      fc.property(work, work, fc.integer({ min: 0, max: 10_000 }), (a, b, steps) => {
        const [whole, parts] = [
          renyiOf([{ ...a, steps: a.steps + steps }, b]),
          renyiOf([b, a, { ...a, steps }]),
        ];
        whole.forEach((value, i) => {
          expect(Math.abs(value - (parts[i] ?? NaN))).toBeLessThanOrEqual(1e-12 * value);
        });
      }),
      { numRuns: 12 },
    );
  });

  it("asks for the least noise that stays within the budget", () => {
    const settings = [
      { epsilon: 1, delta: 1e-6, sampleRate: 0.02, steps: 1000 },
      { epsilon: 8, delta: 1e-5, sampleRate: 0.1, steps: 40 },
    ];
    for (const { epsilon, delta, ...rest } of settings) {
      const sigma = noiseMultiplierFor({ epsilon, delta }, rest) ?? NaN;
      const reached = epsilonOf([{ ...rest, noiseMultiplier: sigma }], delta);
      expect(reached).toBeLessThanOrEqual(epsilon);
      expect(reached).toBeGreaterThan(epsilon - 1e-4);
    }
  });

  it("costs nothing to do nothing, and everything to add no noise", () => {
    expect(epsilonOf([], 1e-6)).toBe(0);
    expect(epsilonOf([{ sampleRate: 0.1, noiseMultiplier: 0, steps: 0 }], 1e-6)).toBe(0);
    expect(epsilonOf([{ sampleRate: 0.1, noiseMultiplier: 0, steps: 1 }], 1e-6)).toBe(Infinity);
    expect(noiseMultiplierFor({ epsilon: 1e-9, delta: 1e-12 }, { sampleRate: 1, steps: 1e9 })).toBeNull();
  });
});
