/** The part of a masked vector that holds how sites' labelled images score. */
import { ConsiliumError } from "../errors.ts";
import { looksAtHealth } from "../health/looks.ts";
import type { Plan } from "../plan-schema.ts";
import type { RoundEvaluation } from "./schema.ts";
import { ScoreFields, type Scored, type SiteScores } from "./score-fields.ts";

type Evaluating = Pick<Plan, "health" | "privacy">;

const FIELDS = new ScoreFields("evaluation");

/** Of two classes the second says all; of more, each is told apart from the others. */
export function scoredClasses(classes: readonly string[]): readonly string[] {
  return classes.length === 2 ? classes.slice(1) : classes;
}

/** Null where the plan has none, or forbids to look. */
export const evaluationOf = (plan: Evaluating) =>
  looksAtHealth(plan) ? (plan.health?.evaluation ?? null) : null;

const scoredOf = ({ classes, images }: Scored): Scored => ({ classes: scoredClasses(classes), images });

/** Empty where the plan has no evaluation. */
export function evaluationFields(plan: Evaluating) {
  const evaluation = evaluationOf(plan);
  return evaluation === null ? [] : FIELDS.of(scoredOf(evaluation));
}

/** Values for `evaluationFields`, by name. @param found for each of `scoredClasses`; null of a site that has too few labels */
export function evaluationValues(
  plan: Evaluating,
  found: SiteScores | null,
): Record<string, ArrayLike<number>> {
  const evaluation = evaluationOf(plan);
  return evaluation === null ? {} : FIELDS.values(scoredOf(evaluation), found);
}

/**
 * @param sums of the unmasked vector, by name
 * @returns null where nobody had labels enough, or the plan has no evaluation
 * @throws secagg.garbled unless every class has been scored on the same number of images, and on none without a site
 */
export function evaluationOfSums(sums: Readonly<Record<string, Float64Array>>): RoundEvaluation | null {
  const { sites, classes } = FIELDS.read(sums);
  const images = new Set(classes.map(({ positives, negatives }) => positives + negatives));
  const [scored = 0] = images;
  if (images.size > 1 || sites > scored || (sites === 0 && scored > 0)) {
    throw new ConsiliumError("secagg.garbled");
  }
  return sites === 0 ? null : { sites, classes };
}
