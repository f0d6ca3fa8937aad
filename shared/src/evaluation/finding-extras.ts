/**
 * The part of a masked vector that holds how a taught head scores findings. As extras.ts, but each finding is told from its own
 * absence, on the images of which it is known: their numbers differ.
 */
import { ConsiliumError } from "../errors.ts";
import { looksAtHealth } from "../health/looks.ts";
import type { Plan } from "../plan-schema.ts";
import { aurocOfCounts, SCORE_BINS, total } from "./auroc.ts";
import type { SiteScores } from "./extras.ts";
import type { RoundEvaluation } from "./schema.ts";

type Evaluating = Pick<Plan, "health" | "privacy">;

const SITES = "findings:sites";
const POSITIVES = "findings:positives:";
const NEGATIVES = "findings:negatives:";

/** Null where the plan has none, or forbids to look. */
export const findingEvaluationOf = (plan: Evaluating) =>
  looksAtHealth(plan) ? (plan.health?.findings ?? null) : null;

const counts = (name: string, length: number, most: number) =>
  ({ kind: "count", name, length, most }) as const;

/** Empty where the plan asks for no findings. */
export function findingFields(plan: Evaluating) {
  const asked = findingEvaluationOf(plan);
  if (asked === null) return [];
  const bins = asked.classes.flatMap((name) => [
    counts(POSITIVES + name, SCORE_BINS, asked.images),
    counts(NEGATIVES + name, SCORE_BINS, asked.images),
  ]);
  return [counts(SITES, 1, 1), ...bins];
}

/** Values for `findingFields`, by name. @param found for each finding of the plan; zeros of a site that has too few */
export function findingValues(plan: Evaluating, found: SiteScores | null): Record<string, ArrayLike<number>> {
  const asked = findingEvaluationOf(plan);
  if (asked === null) return {};
  const none = new Float64Array(SCORE_BINS);
  const bins = asked.classes.flatMap((name, at): [string, Float64Array][] => [
    [POSITIVES + name, found?.[at]?.positives ?? none],
    [NEGATIVES + name, found?.[at]?.negatives ?? none],
  ]);
  return Object.fromEntries<ArrayLike<number>>([[SITES, [found === null ? 0 : 1]], ...bins]);
}

/**
 * @param sums of the unmasked vector, by name
 * @returns null where nobody had findings enough, or the plan asks for none
 * @throws secagg.garbled for scores of no site
 */
export function findingsOfSums(sums: Readonly<Record<string, Float64Array>>): RoundEvaluation | null {
  const sites = sums[SITES]?.[0] ?? 0;
  const classes = Object.entries(sums).flatMap(([field, positives]) => {
    if (!field.startsWith(POSITIVES)) return [];
    const name = field.slice(POSITIVES.length);
    const negatives = sums[NEGATIVES + name] ?? new Float64Array(0);
    const auroc = aurocOfCounts({ positives, negatives });
    return [{ class: name, positives: total(positives), negatives: total(negatives), auroc }];
  });
  const scored = classes.some(({ positives, negatives }) => positives + negatives > 0);
  if (scored && sites === 0) throw new ConsiliumError("secagg.garbled");
  return sites === 0 || classes.length === 0 ? null : { sites, classes };
}
