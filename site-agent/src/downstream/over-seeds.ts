/** Runs that differ by their seed alone, taken together: means of what they are measured by, and what they gain over scratch. */
import { bootstrapByPatient } from "./bootstrap.ts";
import type { Statistic } from "./metrics.ts";
import type { DownstreamMode, EncoderOrigin, Measures, MeasuredSummary } from "./types.ts";

export interface RunName {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
}

/**
 * One line for each encoder and mode, in the order of the runs; each mean is undefined where one of its parts is.
 * @param statistics of each run, the first to compare by
 */
export function summariseSeeds(
  runs: readonly RunName[],
  statistics: readonly Readonly<Record<string, Statistic>>[],
  patients: readonly string[],
): MeasuredSummary[] {
  const groups = byEncoderAndMode(
    runs.map(({ from, mode }, i) => ({ from, mode, own: statistics[i] ?? {} })),
  );
  const meanOver = (group: readonly { readonly own: Readonly<Record<string, Statistic>> }[], name: string) =>
    meanOf(group.map(({ own }) => own[name] ?? (() => null)));
  return groups.flatMap((group) => {
    const [{ from, mode, own }] = group;
    const names = Object.keys(own);
    const [main] = names;
    if (main === undefined) return [];
    const scratch =
      from === "scratch"
        ? undefined
        : groups.find(([first]) => first.from === "scratch" && first.mode === mode);
    const gain: Statistic =
      scratch === undefined ? () => null : difference(meanOver(group, main), meanOver(scratch, main));
    const means = Object.fromEntries(names.map((name) => [name, meanOver(group, name)]));
    const { [GAIN]: gained = null, ...measures }: Measures = bootstrapByPatient(
      { ...means, [GAIN]: gain },
      patients,
    );
    return [{ from, mode, seeds: group.length, measures, gain: gained }];
  });
}

/** No measure's name. */
const GAIN = " gain";

/** The seeds of each, in the order of the runs. */
export function byEncoderAndMode<Named extends Pick<RunName, "from" | "mode">>(
  runs: readonly Named[],
): [Named, ...Named[]][] {
  const groups = new Map<string, [Named, ...Named[]]>();
  for (const run of runs) {
    const key = `${run.from} ${run.mode}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [run]);
    else group.push(run);
  }
  return [...groups.values()];
}

/** Mean of several statistics; undefined if one of them is. */
export function meanOf(statistics: readonly Statistic[]): Statistic {
  return (weights) => {
    let sum = 0;
    for (const statistic of statistics) {
      const value = statistic(weights);
      if (value === null) return null;
      sum += value;
    }
    return sum / statistics.length;
  };
}

export function difference(a: Statistic, b: Statistic): Statistic {
  return (weights) => {
    const [left, right] = [a(weights), b(weights)];
    return left === null || right === null ? null : left - right;
  };
}
