/**
 * How a linear probe on a site's own labels scores the patients that it was not fitted on: this site's part of the common
 * evaluation (shared/evaluation). The head stays here; what leaves are counts, in a masked sum.
 */
import { countScores } from "@consilium/shared/evaluation/auroc";
import { scoredClasses } from "@consilium/shared/evaluation/extras";
import type { SiteScores } from "@consilium/shared/evaluation/score-fields";
import { balancedWeights } from "../dataset/taught-labels.ts";
import { FEWEST_LABELLED, flatFeatures, probeParts, type LabelledFeature } from "./label-scores.ts";
import { LOGISTIC_DEFAULTS } from "./logistic.ts";
import { column } from "./metrics.ts";
import { probe } from "./probe.ts";

export interface ProbeAnswers {
  /** [asked images, classes] */
  readonly probabilities: Float64Array;
  /** Of each asked image. */
  readonly labels: readonly string[];
}

/**
 * The other patients teach the head, which answers for those who are asked.
 * @param classes of the plan; images with other labels are left out
 * @returns null where there are too few, or a class is missing among those that teach
 */
export function probeAnswers(
  features: readonly LabelledFeature[],
  classes: readonly string[],
  askedShare: number,
): ProbeAnswers | null {
  const usable = features.filter(({ label }) => classes.includes(label));
  const { known, asked } = probeParts(usable, askedShare);
  const taught = new Set(known.map(({ label }) => label));
  if (Math.min(known.length, asked.length) < FEWEST_LABELLED || taught.size < classes.length) return null;
  const trainClasses = Int32Array.from(known, ({ label }) => classes.indexOf(label));
  const probabilities = probe({
    trainFeatures: flatFeatures(known),
    trainClasses,
    testFeatures: flatFeatures(asked),
    classes: classes.length,
    // Scores of all sites are ranked together: how common a class is at a site must not shift them.
    weights: balancedWeights(trainClasses),
    l2: LOGISTIC_DEFAULTS.l2,
  });
  return { probabilities, labels: asked.map(({ label }) => label) };
}

/** @throws vector.not-finite */
export function scoreCounts({ probabilities, labels }: ProbeAnswers, classes: readonly string[]): SiteScores {
  return scoredClasses(classes).map((name) =>
    countScores(
      column(probabilities, classes.length, classes.indexOf(name)),
      labels.map((label) => Number(label === name)),
    ),
  );
}
