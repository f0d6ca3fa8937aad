/**
 * The part of a masked vector that holds how a site's masks are met: exact counts of cells, of which the coordinator learns
 * the sum over all sites and no single one.
 */
import { ConsiliumError } from "../errors.ts";
import { looksAtHealth } from "../health/looks.ts";
import type { Plan } from "../plan-schema.ts";
import { diceOfCounts, type OverlapCounts } from "./dice.ts";
import type { RoundMasks } from "./schema.ts";

/** Masks are compared on a grid of so many cells each way, whatever a site's images measured. */
export const MASK_GRID = 64;

/** What one site found. */
export interface SiteOverlaps extends OverlapCounts {
  /** That were asked about. */
  readonly images: number;
}

type Evaluating = Pick<Plan, "health" | "privacy">;

const SITES = "masks:sites";
const IMAGES = "masks:images";
const INTERSECTION = "masks:intersection:";
const SIZE = "masks:size:";

/** Null where the plan has none, or forbids to look. */
export const maskEvaluationOf = (plan: Evaluating) =>
  looksAtHealth(plan) ? (plan.health?.masks ?? null) : null;

const count = (name: string, most: number) => ({ kind: "count", name, length: 1, most }) as const;

/** Empty where the plan asks for no masks. */
export function maskFields(plan: Evaluating) {
  const asked = maskEvaluationOf(plan);
  if (asked === null) return [];
  const cells = asked.images * MASK_GRID ** 2;
  const classes = asked.classes.flatMap((name) => [
    count(INTERSECTION + name, cells),
    count(SIZE + name, 2 * cells),
  ]);
  return [count(SITES, 1), count(IMAGES, asked.images), ...classes];
}

/** Values for `maskFields`, by name; zeros of a site that has too few masks. */
export function maskValues(plan: Evaluating, found: SiteOverlaps | null): Record<string, number[]> {
  const classes = maskEvaluationOf(plan)?.classes;
  if (classes === undefined) return {};
  const cells = classes.flatMap((name, at): [string, number[]][] => [
    [INTERSECTION + name, [found?.intersections[at] ?? 0]],
    [SIZE + name, [found?.sizes[at] ?? 0]],
  ]);
  return { [SITES]: [found === null ? 0 : 1], [IMAGES]: [found?.images ?? 0], ...Object.fromEntries(cells) };
}

/**
 * @param sums of the unmasked vector, by name
 * @returns null where nobody had masks enough, or the plan asks for none
 * @throws secagg.garbled for counts that no masks have
 */
export function masksOfSums(sums: Readonly<Record<string, Float64Array>>): RoundMasks | null {
  const one = (name: string): number => sums[name]?.[0] ?? 0;
  const [sites, images] = [one(SITES), one(IMAGES)];
  const classes = Object.keys(sums).flatMap((field) => {
    if (!field.startsWith(SIZE)) return [];
    const name = field.slice(SIZE.length);
    return [{ name, intersection: one(INTERSECTION + name), size: one(SIZE + name) }];
  });
  const most = 2 * images * MASK_GRID ** 2;
  if (sites > images || (sites === 0 && images > 0)) throw new ConsiliumError("secagg.garbled");
  for (const { intersection, size } of classes)
    if (2 * intersection > size || size > most) throw new ConsiliumError("secagg.garbled");
  if (sites === 0) return null;
  const dice = diceOfCounts({
    intersections: Float64Array.from(classes, ({ intersection }) => intersection),
    sizes: Float64Array.from(classes, ({ size }) => size),
  });
  return { sites, images, classes: classes.map(({ name }, at) => ({ class: name, dice: dice[at] ?? null })) };
}
