/**
 * The part of a masked vector that holds sums over features: the coordinator learns them over all sites together, and of no
 * single one. Everything is a mean over a site's images, weighted by its examples like the update; `has` fields say what
 * share of the weight looked at all, so that sites which could not are left out of the mean.
 */
import type { Plan } from "../plan-schema.ts";
import { ENCODER_WIDTHS } from "../encoder-sizes.ts";
import type { SiteScores } from "../evaluation/score-fields.ts";
import type { SiteOverlaps } from "../evaluation/mask-extras.ts";
import { looksAtHealth } from "./looks.ts";
import { featureHealth, triangleLength, type FeatureMoments } from "./moments.ts";
import type { RoundHealth } from "./schema.ts";

/** What one site found. */
export interface SiteHealth {
  /** Null where there were too few images to look at. */
  readonly moments: FeatureMoments | null;
  readonly heldOut: { readonly loss: number; readonly meanAnswerLoss: number } | null;
  readonly labelled: {
    readonly neighbours: number;
    readonly probe: number;
    readonly commonest: number;
  } | null;
  /** Of images labelled with classes or findings, where the plan evaluates and there are enough; see evaluation/. */
  readonly scores?: SiteScores | null;
  /** The same of masks. */
  readonly overlaps?: SiteOverlaps | null;
  /** That the round trained on, where the plan counts them. */
  readonly patients?: number;
}

/** As `metric:loss`. */
const LOSS_BOUND = 256;

const real = (name: string, length: number, bound: number) =>
  ({ kind: "real", name: `health:${name}`, length, bound, weighted: true }) as const;

/** Empty where the plan does not look. */
export function healthFields(plan: Pick<Plan, "health" | "privacy" | "model">) {
  if (!looksAtHealth(plan)) return [];
  const width = ENCODER_WIDTHS[plan.model.size];
  return [
    real("hasMoments", 1, 1),
    real("first", width, 1),
    real("second", triangleLength(width), 1),
    real("alignment", 1, 4),
    real("hasHeldOut", 1, 1),
    real("heldOutLoss", 1, LOSS_BOUND),
    real("meanAnswerLoss", 1, LOSS_BOUND),
    real("hasLabels", 1, 1),
    real("neighbours", 1, 1),
    real("probe", 1, 1),
    real("commonest", 1, 1),
  ];
}

/** Values for `healthFields`, by name; zeros for what a site did not find. */
export function healthValues(
  plan: Pick<Plan, "health" | "privacy" | "model">,
  found: SiteHealth | null,
): Record<string, number[]> {
  const { moments = null, heldOut = null, labelled = null } = found ?? {};
  const values: Record<string, ArrayLike<number>> = {
    hasMoments: [moments === null ? 0 : 1],
    ...(moments && { first: moments.first, second: moments.second, alignment: [moments.alignment] }),
    hasHeldOut: [heldOut === null ? 0 : 1],
    ...(heldOut && { heldOutLoss: [heldOut.loss], meanAnswerLoss: [heldOut.meanAnswerLoss] }),
    hasLabels: [labelled === null ? 0 : 1],
    ...(labelled && {
      neighbours: [labelled.neighbours],
      probe: [labelled.probe],
      commonest: [labelled.commonest],
    }),
  };
  return Object.fromEntries(
    healthFields(plan).map(({ name, length }) => [
      name,
      Array.from(values[name.slice("health:".length)] ?? new Float64Array(length)),
    ]),
  );
}

/** @param means of the unmasked sum, by name; null where nobody looked */
export function healthOfMeans(means: Readonly<Record<string, Float64Array>>): RoundHealth | null {
  const of = (name: string): Float64Array => means[`health:${name}`] ?? new Float64Array(1);
  const share = (name: string): number => of(name)[0] ?? 0;
  const among = (has: string, name: string): number | null =>
    share(has) > LEAST_SHARE ? share(name) / share(has) : null;
  const looked = share("hasMoments");
  if (looked <= LEAST_SHARE) return null;
  const scaled = (name: string): Float64Array => of(name).map((value) => value / looked);
  const first = scaled("first");
  const moments = { first, second: scaled("second"), alignment: share("alignment") / looked };
  return {
    width: first.length,
    ...featureHealth(moments),
    heldOutLoss: among("hasHeldOut", "heldOutLoss"),
    meanAnswerLoss: among("hasHeldOut", "meanAnswerLoss"),
    neighbours: among("hasLabels", "neighbours"),
    probe: among("hasLabels", "probe"),
    commonest: among("hasLabels", "commonest"),
  };
}

/** Rounding leaves a little where nobody put anything in. */
const LEAST_SHARE = 1e-6;

/** The health of one site alone, which a plan without masks lets the coordinator read. */
export function healthOfSite({ moments, heldOut, labelled }: SiteHealth): RoundHealth | null {
  if (moments === null) return null;
  return {
    width: moments.first.length,
    ...featureHealth(moments),
    heldOutLoss: heldOut?.loss ?? null,
    meanAnswerLoss: heldOut?.meanAnswerLoss ?? null,
    neighbours: labelled?.neighbours ?? null,
    probe: labelled?.probe ?? null,
    commonest: labelled?.commonest ?? null,
  };
}

/** The mean over sites, weighted by examples: near what the images together have, where masks forbid nothing better. */
export function meanHealth(
  sites: readonly { readonly examples: number; readonly health: RoundHealth }[],
): RoundHealth | null {
  const [first] = sites;
  if (first === undefined) return null;
  const mean = (of: (health: RoundHealth) => number | null): number | null => {
    const known = sites.flatMap(({ examples, health }) => {
      const value = of(health);
      return value === null ? [] : [{ examples, value }];
    });
    const weight = known.reduce((sum, { examples }) => sum + examples, 0);
    return weight === 0
      ? null
      : known.reduce((sum, { examples, value }) => sum + examples * value, 0) / weight;
  };
  return {
    width: first.health.width,
    rankMe: mean(({ rankMe }) => rankMe) ?? NaN,
    participationRatio: mean(({ participationRatio }) => participationRatio) ?? NaN,
    featureStdDev: mean(({ featureStdDev }) => featureStdDev) ?? NaN,
    alignment: mean(({ alignment }) => alignment) ?? NaN,
    heldOutLoss: mean(({ heldOutLoss }) => heldOutLoss),
    meanAnswerLoss: mean(({ meanAnswerLoss }) => meanAnswerLoss),
    neighbours: mean(({ neighbours }) => neighbours),
    probe: mean(({ probe }) => probe),
    commonest: mean(({ commonest }) => commonest),
  };
}
