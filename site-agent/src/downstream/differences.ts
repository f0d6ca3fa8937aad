/** What one encoder is worth over another, for every pair that was run: by resampled patients and by DeLong. */
import { bootstrapByPatient } from "./bootstrap.ts";
import { areaInfluence, meanArea, testDifference, type AreaInfluence } from "./delong.ts";
import { predictionsOf, type Run, type TestSet } from "./evaluation.ts";
import { byEncoderAndMode, difference, meanOf } from "./over-seeds.ts";
import { auroc, oneAgainstRest, overClasses, type Statistic } from "./metrics.ts";
import type { DownstreamMode, EncoderDifference, EncoderOrigin } from "./types.ts";

/** Later encoders less earlier ones, of the same mode, as means over seeds and, of several classes, over classes. */
export function encoderDifferences(runs: readonly Run[], test: TestSet): EncoderDifference[] {
  const patients = test.images.map(({ patient }) => patient);
  const compared = byEncoderAndMode(runs).map((group) => {
    const [{ from, mode }] = group;
    return { from, mode, mean: meanAuroc(group, test), area: meanInfluence(group, test, patients) };
  });
  return differencesOf(compared, patients);
}

export interface ComparedEncoder {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  /** Of the measure to compare by, over all seeds. */
  readonly mean: Statistic;
  /** If that is an area under ROC curves whose spread is known. */
  readonly area: AreaInfluence | null;
}

/** Of every two in one mode, the later less the earlier. */
export function differencesOf(
  compared: readonly ComparedEncoder[],
  patients: readonly string[],
): EncoderDifference[] {
  return compared.flatMap((a, place) =>
    compared
      .slice(0, place)
      .filter(({ mode }) => mode === a.mode)
      .map((b): EncoderDifference => {
        const statistics = { difference: difference(a.mean, b.mean) };
        return {
          from: a.from,
          over: b.from,
          mode: a.mode,
          bootstrap: bootstrapByPatient(statistics, patients).difference,
          delong: a.area === null || b.area === null ? null : testDifference(a.area, b.area, patients),
        };
      }),
  );
}

const meanAuroc = (group: readonly Run[], test: TestSet): Statistic =>
  meanOf(group.map((run) => overClasses(auroc, predictionsOf(run, test))));

function meanInfluence(
  group: readonly Run[],
  test: TestSet,
  patients: readonly string[],
): AreaInfluence | null {
  const areas = group.flatMap((run) =>
    oneAgainstRest(predictionsOf(run, test)).map(({ scores, positive }) =>
      areaInfluence(scores, positive, patients),
    ),
  );
  return areas.some((area) => area === null) ? null : meanArea(areas.filter((area) => area !== null));
}
