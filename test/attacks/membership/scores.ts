/** How well a score tells members from others, and how well differential privacy lets any score do so. */
import {
  BOOTSTRAP_DEFAULTS,
  bootstrapByPatient,
  type Estimate,
} from "../../../site-agent/src/downstream/bootstrap.ts";
import { auroc, type Statistic } from "../../../site-agent/src/downstream/metrics.ts";
import { rocCurve, type RocPoint } from "../../../site-agent/src/downstream/rate-curves.ts";

/** At which an attack is of use: few who were not there are accused. */
export const LOW_FALSE_POSITIVE_RATE = 0.01;

export interface Separation {
  readonly auroc: Estimate;
  /** True positive rate at LOW_FALSE_POSITIVE_RATE (Carlini et al. 2022). */
  readonly found: Estimate;
  /** Largest true minus false positive rate over all thresholds: optimistic, for the threshold is chosen on the same patients. */
  readonly advantage: number;
  readonly roc: readonly RocPoint[];
}

/** @param scores larger where the attacker believes a member; one of each patient */
export function separation(scores: Float64Array, isMember: Uint8Array): Separation {
  const patients = Array.from(scores, (_, i) => String(i));
  const statistics = {
    auroc: auroc(scores, isMember),
    found: truePositiveRateAt(LOW_FALSE_POSITIVE_RATE, scores, isMember),
  };
  const estimates = bootstrapByPatient(statistics, patients, BOOTSTRAP_DEFAULTS);
  const roc = rocCurve(scores, isMember, scores.length + 1);
  if (estimates.auroc === null || estimates.found === null) throw new Error("nobody to tell apart");
  return {
    auroc: estimates.auroc,
    found: estimates.found,
    advantage: Math.max(
      ...roc.map(({ truePositiveRate, falsePositiveRate }) => truePositiveRate - falsePositiveRate),
    ),
    roc,
  };
}

/** The largest true positive rate of any threshold with at most this false positive rate. */
export function truePositiveRateAt(
  falsePositiveRate: number,
  scores: Float64Array,
  isMember: Uint8Array,
): Statistic {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
  return (weights) => {
    const weightOf = (i: number): number => weights?.[i] ?? 1;
    const total = (member: 0 | 1): number =>
      order.reduce((sum, i) => sum + (isMember[i] === member ? weightOf(i) : 0), 0);
    const [others, members] = [total(0), total(1)];
    if (others === 0 || members === 0) return null;
    let [accused, found, best] = [0, 0, 0];
    for (const [at, i] of order.entries()) {
      if (isMember[i] === 1) found += weightOf(i);
      else accused += weightOf(i);
      if (accused > falsePositiveRate * others) break;
      // A threshold is not between equals.
      const next = order[at + 1];
      if (next === undefined || scores[next] !== scores[i]) best = found;
    }
    return best / members;
  };
}

/** What no attack exceeds, whatever it looks at (Kairouz, Oh and Viswanath 2015, theorem 2.1). */
export interface Allowed {
  readonly auroc: number;
  readonly found: number;
  readonly advantage: number;
  /** The highest ROC curve. */
  readonly roc: readonly RocPoint[];
}

/**
 * From TPR <= e^epsilon FPR + delta, and the same of those that are not accused: 1 - FPR <= e^epsilon (1 - TPR) + delta. The
 * curve bends where both meet.
 */
export function allowedBy(epsilon: number, delta: number): Allowed {
  const bend = (1 - delta) / (1 + Math.exp(epsilon));
  const highest = (falsePositiveRate: number): number =>
    Math.min(
      1,
      Math.exp(epsilon) * falsePositiveRate + delta,
      1 - Math.exp(-epsilon) * (1 - delta - falsePositiveRate),
    );
  return {
    auroc: 1 - bend * (1 - delta),
    found: highest(LOW_FALSE_POSITIVE_RATE),
    advantage: 1 - 2 * bend,
    roc: [0, bend, 1 - delta, 1].map((falsePositiveRate) => ({
      falsePositiveRate,
      truePositiveRate: highest(falsePositiveRate),
    })),
  };
}
