/**
 * Areas under ROC curves and their differences with an interval and a p-value in closed form: the method of DeLong, DeLong and
 * Clarke-Pearson (1988), by ranks (Sun and Xu 2014), with the images of one patient taken together (Obuchowski 1997).
 */
import { erf } from "../engine/graph/interpret/elementwise.ts";
import { groupCounts, rankGroups } from "./metrics.ts";

/** A difference that is 0 where neither is better. Interval 95 %, p two-sided. */
export interface TestedDifference {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly p: number;
}

/** An area, and how far each image moves it; areas on the same images are combined by combining both. */
export interface AreaInfluence {
  readonly area: number;
  /** Of each image; the squares of its sums over patients sum up to the variance. */
  readonly influence: Float64Array;
}

/** Of the standard normal distribution, 97.5 %. */
const Z = 1.959963984540054;

/** @returns null where there are fewer than two patients with positives or with negatives, so that nothing is known of spread */
export function areaInfluence(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  patients: readonly string[],
): AreaInfluence | null {
  const members = (wanted: boolean) => patients.filter((_, i) => Boolean(positive[i]) === wanted);
  const [positives, negatives] = [members(true), members(false)];
  const [ofPositives, ofNegatives] = [smallSample(positives), smallSample(negatives)];
  if (ofPositives === null || ofNegatives === null) return null;
  const [m, n] = [positives.length, negatives.length];
  // Of each image, the share of the other class that it is ranked rightly against, ties as halves.
  const placed = new Float64Array(patients.length);
  let [positivesAbove, negativesAbove] = [0, 0];
  for (const group of rankGroups(scores)) {
    const [tiedPositives, tiedNegatives] = groupCounts(group, positive);
    for (const i of group) {
      placed[i] = positive[i]
        ? 1 - (negativesAbove + tiedNegatives / 2) / n
        : (positivesAbove + tiedPositives / 2) / m;
    }
    positivesAbove += tiedPositives;
    negativesAbove += tiedNegatives;
  }
  const area = placed.reduce((sum, value, i) => (positive[i] ? sum + value / m : sum), 0);
  const influence = placed.map((value, i) =>
    positive[i] ? ((value - area) / m) * ofPositives : ((value - area) / n) * ofNegatives,
  );
  return { area, influence };
}

/** Makes a variance over k patients unbiased: sqrt(k / (k - 1)). */
function smallSample(patients: readonly string[]): number | null {
  const k = new Set(patients).size;
  return k < 2 ? null : Math.sqrt(k / (k - 1));
}

/** Of several areas on the same images. */
export function meanArea(areas: readonly AreaInfluence[]): AreaInfluence | null {
  const [first] = areas;
  if (first === undefined) return null;
  const influence = first.influence.map(
    (_, i) => areas.reduce((sum, each) => sum + (each.influence[i] ?? 0), 0) / areas.length,
  );
  return { area: areas.reduce((sum, { area }) => sum + area, 0) / areas.length, influence };
}

/** `a` less `b` on the same images. Null where they never differ in how they rank, so that there is nothing to test. */
export function testDifference(
  a: AreaInfluence,
  b: AreaInfluence,
  patients: readonly string[],
): TestedDifference | null {
  const value = a.area - b.area;
  const byPatient = new Map<string, number>();
  for (const [i, patient] of patients.entries()) {
    const moved = (a.influence[i] ?? 0) - (b.influence[i] ?? 0);
    byPatient.set(patient, (byPatient.get(patient) ?? 0) + moved);
  }
  const variance = [...byPatient.values()].reduce((sum, moved) => sum + moved ** 2, 0);
  // What rounding leaves of no difference at all.
  if (variance < 1e-24) return null;
  const standardError = Math.sqrt(variance);
  const p = Math.max(0, 1 - erf((Math.abs(value) / standardError) * Math.SQRT1_2));
  return { value, low: value - Z * standardError, high: value + Z * standardError, p };
}
