/** From what all runs said of the test images to a result: rows, means over seeds, differences of encoders. */
import type { LabelledImage } from "../dataset/labels.ts";
import { bootstrapByPatient } from "./bootstrap.ts";
import { drawLabels, setSize } from "./cohort.ts";
import { meanArea } from "./delong.ts";
import { differencesOf } from "./differences.ts";
import { tenths } from "./evaluation.ts";
import type { LabelKind, LabelledSet } from "./label-kind.ts";
import type { Statistic } from "./metrics.ts";
import { byEncoderAndMode, meanOf, summariseSeeds, type RunName } from "./over-seeds.ts";
import type { Choice, EncoderDifference, FinetuneOptions, MeasuredResult } from "./types.ts";
import type { ViewInputs } from "./views.ts";

export interface Sets {
  readonly train: readonly LabelledImage[];
  readonly test: readonly LabelledImage[];
  readonly testSource: "cache" | "split";
}

/** One run and what it said of each test image. */
export interface Run<Judged> extends RunName {
  readonly labels: readonly LabelledImage[];
  readonly losses: readonly number[];
  readonly choice: Choice;
  readonly judged: readonly Judged[];
}

/** What a run is compared by. */
export const mainOf = (statistics: Readonly<Record<string, Statistic>>): Statistic =>
  Object.values(statistics)[0] ?? (() => null);

export function evaluate<Set extends LabelledSet, Inputs extends ViewInputs, Judged>(
  kind: LabelKind<Set, Inputs, Judged>,
  runs: readonly Run<Judged>[],
  { train, test, testSource }: Sets,
  options: FinetuneOptions,
): MeasuredResult {
  const patients = test.map(({ patient }) => patient);
  const statistics = runs.map(({ judged }) => kind.statistics(judged));
  return {
    task: kind.task,
    classes: kind.classes,
    labels: setSize(drawLabels({ train }, options.labels, 1)),
    test: setSize(test),
    testSource,
    measures: kind.measures,
    rows: runs.map(({ from, mode, seed }, i) => ({
      from,
      mode,
      seed,
      measures: bootstrapByPatient(statistics[i] ?? {}, patients),
    })),
    summary: summariseSeeds(runs, statistics, patients),
    differences: differencesBetween(kind, runs, patients),
    details: runs.map(({ from, mode, seed, labels, losses, choice, judged }) => ({
      from,
      mode,
      seed,
      labels: setSize(labels),
      curves: kind.curves(judged),
      losses: tenths(losses),
      choice,
    })),
  };
}

function differencesBetween<Set extends LabelledSet, Inputs extends ViewInputs, Judged>(
  kind: LabelKind<Set, Inputs, Judged>,
  runs: readonly Run<Judged>[],
  patients: readonly string[],
): EncoderDifference[] {
  const compared = byEncoderAndMode(runs).map((group) => {
    const [{ from, mode }] = group;
    const areas = group.map(({ judged }) => kind.area?.(judged, patients) ?? null);
    return {
      from,
      mode,
      mean: meanOf(group.map(({ judged }) => mainOf(kind.statistics(judged)))),
      area: areas.some((area) => area === null) ? null : meanArea(areas.filter((area) => area !== null)),
    };
  });
  return differencesOf(compared, patients);
}
