/** How well findings are told, each on the images of which it is known, and the mean over findings (macro average). */
import { areaInfluence, meanArea, type AreaInfluence } from "../delong.ts";
import { auprc, auroc, calibrationError, type Statistic } from "../metrics.ts";
import { precisionRecallCurve, reliabilityBins, rocCurve } from "../rate-curves.ts";
import type { Curve, CurveAxes } from "../types.ts";
import type { Truth } from "../../dataset/finding-truth.ts";

/** One test image. */
export interface JudgedFindings {
  readonly probabilities: readonly number[];
  readonly truth: Truth;
}

interface Known {
  /** Places among the images. */
  readonly places: readonly number[];
  readonly scores: Float64Array;
  readonly there: Uint8Array;
}

function knownOf(judged: readonly JudgedFindings[], c: number): Known {
  const places = [...judged.keys()].filter((i) => (judged[i]?.truth[c] ?? null) !== null);
  return {
    places,
    scores: Float64Array.from(places, (i) => judged[i]?.probabilities[c] ?? NaN),
    there: Uint8Array.from(places, (i) => judged[i]?.truth[c] ?? 0),
  };
}

type Measure = (scores: Float64Array, there: Uint8Array) => Statistic;

const MEASURES: Readonly<Record<"auroc" | "auprc" | "ece", Measure>> = {
  auroc,
  auprc,
  ece: (scores, there) => calibrationError(scores, there),
};

/** `auroc`, `auprc` and `ece` as means over the findings, then of each. Undefined ones are left out of a mean. */
export function findingStatistics(
  judged: readonly JudgedFindings[],
  names: readonly string[],
): Readonly<Record<string, Statistic>> {
  const known = names.map((_, c) => knownOf(judged, c));
  const measured = Object.entries(MEASURES).map(([measure, of]) => ({
    measure,
    statistics: known.map(({ places, scores, there }): Statistic => {
      const statistic = of(scores, there);
      return (weights) => statistic(weights === undefined ? undefined : places.map((i) => weights[i] ?? 0));
    }),
  }));
  return {
    ...Object.fromEntries(measured.map(({ measure, statistics }) => [measure, meanOfDefined(statistics)])),
    ...Object.fromEntries(
      measured.flatMap(({ measure, statistics }) =>
        names.map((name, c) => [`${measure} ${name}`, statistics[c] ?? (() => null)]),
      ),
    ),
  };
}

function meanOfDefined(statistics: readonly Statistic[]): Statistic {
  return (weights) => {
    const values = statistics.map((statistic) => statistic(weights)).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
}

/** Of the mean AUROC. Null where a finding that counts in it has too few patients for a spread. */
export function findingsArea(
  judged: readonly JudgedFindings[],
  names: readonly string[],
  patients: readonly string[],
): AreaInfluence | null {
  const areas: AreaInfluence[] = [];
  for (const c of names.keys()) {
    const { places, scores, there } = knownOf(judged, c);
    if (auroc(scores, there)() === null) continue;
    const own = areaInfluence(
      scores,
      there,
      places.map((i) => patients[i] ?? ""),
    );
    if (own === null) return null;
    // An image of which a finding is not known does not move its area.
    const influence = new Float64Array(judged.length);
    for (const [at, i] of places.entries()) influence[i] = own.influence[at] ?? 0;
    areas.push({ area: own.area, influence });
  }
  return meanArea(areas);
}

export const FINDING_CURVES = {
  roc: { x: "false positive rate", y: "true positive rate", reference: "diagonal" },
  precisionRecall: { x: "recall (true positive rate)", y: "precision", reference: "last" },
  reliability: { x: "probability that is said", y: "share that has it", reference: "diagonal" },
} as const satisfies Readonly<Record<string, CurveAxes>>;

export function findingCurves(judged: readonly JudgedFindings[], names: readonly string[]): Curve[] {
  const each = names.map((of, c) => ({ of, ...knownOf(judged, c) }));
  return [
    ...each.map(({ of, scores, there }) => ({
      name: "ROC curves",
      of,
      axes: FINDING_CURVES.roc,
      points: rocCurve(scores, there).map((p) => ({ x: p.falsePositiveRate, y: p.truePositiveRate })),
    })),
    ...each.map(({ of, scores, there }) => ({
      name: "Precision and recall",
      of,
      axes: FINDING_CURVES.precisionRecall,
      points: precisionRecallCurve(scores, there).map((p) => ({ x: p.recall, y: p.precision })),
    })),
    ...each.map(({ of, scores, there }) => {
      const bins = reliabilityBins(scores, there);
      return {
        name: "Calibration",
        of,
        axes: FINDING_CURVES.reliability,
        points: bins.map(({ confidence, accuracy }) => ({ x: confidence, y: accuracy })),
        weights: bins.map(({ images }) => images / there.length),
      };
    }),
  ];
}
