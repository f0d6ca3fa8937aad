/**
 * The part of a masked vector that holds how sites' labelled images score: exact counts, of which the coordinator learns the
 * sum over all sites and no single one.
 */
import { ConsiliumError } from "../errors.ts";
import { looksAtHealth } from "../health/looks.ts";
import type { Plan } from "../plan-schema.ts";
import { aurocOfCounts, SCORE_BINS, total, type ScoreCounts } from "./auroc.ts";
import type { RoundEvaluation } from "./schema.ts";

/** What one site found, a member for each of `scoredClasses`. */
export type SiteScores = readonly ScoreCounts[];

type Evaluating = Pick<Plan, "health" | "privacy">;

const SITES = "evaluation:sites";
const POSITIVES = "evaluation:positives:";
const NEGATIVES = "evaluation:negatives:";

/** Of two classes the second says all; of more, each is told apart from the others. */
export function scoredClasses(classes: readonly string[]): readonly string[] {
  return classes.length === 2 ? classes.slice(1) : classes;
}

/** Null where the plan has none, or forbids to look. */
export const evaluationOf = (plan: Evaluating) =>
  looksAtHealth(plan) ? (plan.health?.evaluation ?? null) : null;

const counts = (name: string, length: number, most: number) =>
  ({ kind: "count", name, length, most }) as const;

/** Empty where the plan has no evaluation. */
export function evaluationFields(plan: Evaluating) {
  const evaluation = evaluationOf(plan);
  if (evaluation === null) return [];
  const bins = scoredClasses(evaluation.classes).flatMap((name) => [
    counts(POSITIVES + name, SCORE_BINS, evaluation.images),
    counts(NEGATIVES + name, SCORE_BINS, evaluation.images),
  ]);
  return [counts(SITES, 1, 1), ...bins];
}

/** Values for `evaluationFields`, by name; zeros of a site that has too few labels. */
export function evaluationValues(
  plan: Evaluating,
  found: SiteScores | null,
): Record<string, ArrayLike<number>> {
  const evaluation = evaluationOf(plan);
  if (evaluation === null) return {};
  const none = new Float64Array(SCORE_BINS);
  const bins = scoredClasses(evaluation.classes).flatMap((name, at): [string, Float64Array][] => [
    [POSITIVES + name, found?.[at]?.positives ?? none],
    [NEGATIVES + name, found?.[at]?.negatives ?? none],
  ]);
  return Object.fromEntries<ArrayLike<number>>([[SITES, [found === null ? 0 : 1]], ...bins]);
}

/**
 * @param sums of the unmasked vector, by name
 * @returns null where nobody had labels enough, or the plan has no evaluation
 * @throws secagg.garbled unless every class has been scored on the same number of images, and on none without a site
 */
export function evaluationOfSums(sums: Readonly<Record<string, Float64Array>>): RoundEvaluation | null {
  const sites = sums[SITES]?.[0] ?? 0;
  const classes = Object.entries(sums).flatMap(([field, positives]) => {
    if (!field.startsWith(POSITIVES)) return [];
    const name = field.slice(POSITIVES.length);
    const negatives = sums[NEGATIVES + name] ?? new Float64Array(0);
    const auroc = aurocOfCounts({ positives, negatives });
    return [{ class: name, positives: total(positives), negatives: total(negatives), auroc }];
  });
  const images = new Set(classes.map(({ positives, negatives }) => positives + negatives));
  const [scored = 0] = images;
  if (images.size > 1 || sites > scored || (sites === 0 && scored > 0)) {
    throw new ConsiliumError("secagg.garbled");
  }
  return sites === 0 ? null : { sites, classes };
}
