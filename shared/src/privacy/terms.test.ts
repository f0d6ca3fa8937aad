import { describe, expect, it } from "vitest";
import { parsePlan } from "../plan.ts";
import { epsilonOf } from "./accountant.ts";
import { affordableRounds, privacyTerms, stepsOf, type PrivacyTerms } from "./terms.ts";

const plan = (privacy: object, training: object = {}) =>
  parsePlan({ federation: "lungs", title: "Lungs", rounds: 20, training, privacy });

const termsOf = (privacy: object, patients: number, training: object = {}): PrivacyTerms => {
  const terms = privacyTerms(plan({ unit: "patient", ...privacy }, training), patients);
  if (terms === null) throw new Error("a plan with privacy has terms");
  return terms;
};

describe("a plan's privacy", () => {
  it("is none unless asked for", () => {
    const { privacy } = plan({ unit: "none" });
    expect(privacy).toEqual(parsePlan({ federation: "lungs", title: "Lungs", rounds: 1 }).privacy);
    expect(privacyTerms(plan({ unit: "none" }), 10)).toBeNull();
  });

  it("draws a batch of patients on average, and every patient once an epoch", () => {
    const terms = termsOf({ noiseMultiplier: 1.5, clipL2Norm: 0.5 }, 1568, { batchSize: 32, localEpochs: 2 });
    expect(terms).toEqual({
      patients: 1568,
      sampleRate: 32 / 1568,
      expectedExamples: 32,
      clipL2Norm: 0.5,
      noiseMultiplier: 1.5,
      stepsPerRound: 2 * 49,
    });
    expect(termsOf({ noiseMultiplier: 1 }, 5)).toMatchObject({ sampleRate: 1, stepsPerRound: 1 });
    expect(termsOf({ noiseMultiplier: 1, sampleRate: 0.1 }, 200)).toMatchObject({
      expectedExamples: 20,
      stepsPerRound: 10,
    });
  });

  it("finds the noise for all rounds from a target", () => {
    const terms = termsOf({ targetEpsilon: 3, delta: 1e-5 }, 640);
    const epsilon = epsilonOf([stepsOf(terms, 20)], 1e-5);
    expect(epsilon).toBeLessThanOrEqual(3);
    expect(epsilon).toBeGreaterThan(2.999);
  });

  it("says how many rounds a budget allows", () => {
    const terms = termsOf({ targetEpsilon: 3, delta: 1e-5 }, 640);
    const budget = { maxEpsilon: 2, delta: 1e-5 };
    const rounds = affordableRounds([], terms, 20, budget);
    expect(rounds).toBeGreaterThan(0);
    expect(epsilonOf([stepsOf(terms, rounds)], 1e-5)).toBeLessThanOrEqual(2);
    expect(epsilonOf([stepsOf(terms, rounds + 1)], 1e-5)).toBeGreaterThan(2);
    expect(affordableRounds([stepsOf(terms, rounds)], terms, 20, budget)).toBe(0);
    expect(affordableRounds([], terms, 20, { maxEpsilon: 3, delta: 1e-5 })).toBe(20);
  });

  it("is refused where it means nothing", () => {
    const invalid = (privacy: object): void => {
      expect(() => plan({ unit: "patient", ...privacy })).toThrow();
    };
    invalid({});
    invalid({ noiseMultiplier: 1, targetEpsilon: 1 });
    invalid({ noiseMultiplier: 0 });
    expect(() => termsOf({ noiseMultiplier: 1, delta: 1e-3 }, 1000)).toThrow(
      expect.objectContaining({ code: "privacy.delta-too-large" }) as Error,
    );
    expect(() => termsOf({ targetEpsilon: 1e-9, sampleRate: 1, delta: 1e-12 }, 10)).toThrow(
      expect.objectContaining({ code: "privacy.unreachable" }) as Error,
    );
  });
});
