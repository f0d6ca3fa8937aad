/** What a plan's privacy section means at a site with so many patients. */
import { ConsiliumError } from "../errors.ts";
import type { Plan } from "../plan-schema.ts";
import { siteNoiseMultiplier } from "./site-noise.ts";
import { epsilonOf, noiseMultiplierFor, type NoisySteps } from "./accountant.ts";

/** How one site trains with noise. */
export interface PrivacyTerms {
  /** At the site; taken for public. */
  readonly patients: number;
  readonly sampleRate: number;
  /** Patients in a batch, on average. */
  readonly expectedExamples: number;
  readonly clipL2Norm: number;
  /** Standard deviation of the noise over `clipL2Norm`. */
  readonly noiseMultiplier: number;
  readonly stepsPerRound: number;
}

/**
 * A local epoch has as many steps as draw each patient once, on average.
 * @returns null if the plan trains without noise
 * @throws privacy.delta-too-large, privacy.unreachable
 */
export function privacyTerms(
  { rounds, training, privacy }: Pick<Plan, "rounds" | "training" | "privacy">,
  patients: number,
): PrivacyTerms | null {
  if (privacy.unit === "none") return null;
  const { clipL2Norm, delta } = privacy;
  assertSmall(delta, patients);
  if (privacy.unit === "site") {
    // What bounds what is learned of a whole site bounds what is learned of each of its patients.
    const noiseMultiplier = siteNoiseMultiplier(privacy, rounds);
    const alike = { sampleRate: 1, expectedExamples: patients, stepsPerRound: 1 };
    return { patients, ...alike, clipL2Norm, noiseMultiplier };
  }
  const sampleRate = privacy.sampleRate ?? Math.min(1, training.batchSize / patients);
  // 1 / (1 / 49) is a hair under 49 in floating point.
  const stepsPerRound = training.localEpochs * Math.max(1, Math.floor(1 / sampleRate + 1e-6));
  const noiseMultiplier =
    privacy.noiseMultiplier ??
    noiseMultiplierFor(
      { epsilon: privacy.targetEpsilon ?? 0, delta },
      { sampleRate, steps: rounds * stepsPerRound },
    );
  if (noiseMultiplier === null) throw new ConsiliumError("privacy.unreachable");
  return {
    patients,
    sampleRate,
    expectedExamples:
      privacy.sampleRate === undefined ? Math.min(training.batchSize, patients) : sampleRate * patients,
    clipL2Norm,
    noiseMultiplier,
    stepsPerRound,
  };
}

/** @throws privacy.delta-too-large unless it is below one over the number of patients */
export function assertSmall(delta: number, patients: number): void {
  if (delta * patients < 1) return;
  throw new ConsiliumError("privacy.delta-too-large", {
    detail: `(${delta} for ${patients} patients)`,
    culprits: ["delta"],
  });
}

/** What so many rounds cost. */
export const stepsOf = (
  { sampleRate, noiseMultiplier, stepsPerRound }: PrivacyTerms,
  rounds: number,
): NoisySteps => ({ sampleRate, noiseMultiplier, steps: rounds * stepsPerRound });

/** How many of the next `rounds` rounds fit into a budget, beside what was spent. */
export function affordableRounds(
  spent: readonly NoisySteps[],
  terms: PrivacyTerms,
  rounds: number,
  budget: { readonly maxEpsilon: number; readonly delta: number },
): number {
  const fits = (count: number): boolean =>
    epsilonOf([...spent, stepsOf(terms, count)], budget.delta) <= budget.maxEpsilon;
  let [low, high] = [0, rounds];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
