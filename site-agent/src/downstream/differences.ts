/** What one encoder is worth over another, for every pair that was run: by resampled patients and by DeLong. */
import { bootstrapByPatient } from "./bootstrap.ts";
import { areaInfluence, meanArea, testDifference, type AreaInfluence } from "./delong.ts";
import { byEncoderAndMode, difference, meanOf, predictionsOf, type Run, type TestSet } from "./evaluation.ts";
import { auroc, oneAgainstRest, overClasses, type Statistic } from "./metrics.ts";
import type { EncoderDifference } from "./types.ts";

/** Later encoders less earlier ones, of the same mode, as means over seeds and, of several classes, over classes. */
export function encoderDifferences(runs: readonly Run[], test: TestSet): EncoderDifference[] {
  const patients = test.images.map(({ patient }) => patient);
  const compared = byEncoderAndMode(runs).map((group) => {
    const [{ from, mode }] = group;
    return { from, mode, mean: meanAuroc(group, test), area: meanInfluence(group, test, patients) };
  });
  return compared.flatMap((a, place) =>
    compared
      .slice(0, place)
      .filter(({ mode }) => mode === a.mode)
      .map((b): EncoderDifference => {
        const statistics = { auroc: difference(a.mean, b.mean) };
        return {
          from: a.from,
          over: b.from,
          mode: a.mode,
          bootstrap: bootstrapByPatient(statistics, patients).auroc,
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
