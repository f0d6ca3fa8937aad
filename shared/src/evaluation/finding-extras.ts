/**
 * The part of a masked vector that holds how a taught head scores findings. As extras.ts, but each finding is told from its own
 * absence, on the images of which it is known: their numbers differ.
 */
import { ConsiliumError } from "../errors.ts";
import { looksAtHealth } from "../health/looks.ts";
import type { Plan } from "../plan-schema.ts";
import type { RoundEvaluation } from "./schema.ts";
import { ScoreFields, type SiteScores } from "./score-fields.ts";

type Evaluating = Pick<Plan, "health" | "privacy">;

const FIELDS = new ScoreFields("findings");

/** Null where the plan has none, or forbids to look. */
export const findingEvaluationOf = (plan: Evaluating) =>
  looksAtHealth(plan) ? (plan.health?.findings ?? null) : null;

/** Empty where the plan asks for no findings. */
export function findingFields(plan: Evaluating) {
  const asked = findingEvaluationOf(plan);
  return asked === null ? [] : FIELDS.of(asked);
}

/** Values for `findingFields`, by name. @param found for each finding of the plan; null of a site that has too few */
export function findingValues(plan: Evaluating, found: SiteScores | null): Record<string, ArrayLike<number>> {
  const asked = findingEvaluationOf(plan);
  return asked === null ? {} : FIELDS.values(asked, found);
}

/**
 * @param sums of the unmasked vector, by name
 * @returns null where nobody had findings enough, or the plan asks for none
 * @throws secagg.garbled for scores of no site
 */
export function findingsOfSums(sums: Readonly<Record<string, Float64Array>>): RoundEvaluation | null {
  const { sites, classes } = FIELDS.read(sums);
  const scored = classes.some(({ positives, negatives }) => positives + negatives > 0);
  if (scored && sites === 0) throw new ConsiliumError("secagg.garbled");
  return sites === 0 || classes.length === 0 ? null : { sites, classes };
}
