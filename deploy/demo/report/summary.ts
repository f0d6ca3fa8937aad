/** What the report works out from the demo's numbers. Pure. */
import type { DemoReport, EncoderOrigin, Evaluation, EvaluationRow, Interval, Outflow } from "./types.ts";

export const ORIGINS: readonly EncoderOrigin[] = ["scratch", "own", "global"];

export const ORIGIN_TEXT: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "from scratch",
  own: "own encoder",
  global: "federated encoder",
};

export const MODE_TEXT: Readonly<Record<EvaluationRow["mode"], string>> = {
  finetune: "Fine-tuned",
  probe: "Linear probe on the frozen encoder",
};

/** Rows of one origin and mode at one site, over its seeds. */
export interface Result {
  readonly from: EncoderOrigin;
  readonly seeds: readonly EvaluationRow[];
  readonly auroc: Interval;
  readonly accuracy: Interval;
}

/** One result for each origin that was tried, in the order of ORIGINS. */
export function results({ rows }: Evaluation, mode: EvaluationRow["mode"]): readonly Result[] {
  return ORIGINS.flatMap((from) => {
    const seeds = rows.filter((row) => row.from === from && row.mode === mode);
    const auroc = meanInterval(seeds.map((row) => row.auroc));
    const accuracy = meanInterval(seeds.map((row) => row.accuracy));
    return auroc === null || accuracy === null ? [] : [{ from, seeds, auroc, accuracy }];
  });
}

/** Value and both ends averaged: how wide one run's interval typically is, around the mean of the runs. */
export function meanInterval(intervals: readonly Interval[]): Interval | null {
  if (intervals.length === 0) return null;
  return {
    value: mean(intervals.map(({ value }) => value)),
    low: mean(intervals.map(({ low }) => low)),
    high: mean(intervals.map(({ high }) => high)),
  };
}

export function modesOf(evaluations: readonly Evaluation[]): readonly EvaluationRow["mode"][] {
  return (["finetune", "probe"] as const).filter((mode) =>
    evaluations.some(({ rows }) => rows.some((row) => row.mode === mode)),
  );
}

/** Mean AUROC over sites, of fine-tuning if that was done; null for an origin that was not tried. */
export function headline({ evaluations }: DemoReport): Readonly<Record<EncoderOrigin, number | null>> | null {
  const mode = modesOf(evaluations)[0];
  if (mode === undefined) return null;
  const all = evaluations.flatMap((evaluation) => results(evaluation, mode));
  const of = (from: EncoderOrigin): number | null => {
    const values = all.filter((result) => result.from === from).map(({ auroc }) => auroc.value);
    return values.length === 0 ? null : mean(values);
  };
  return { scratch: of("scratch"), own: of("own"), global: of("global") };
}

/** So few rounds that no number says anything about learning. */
const FEWEST_ROUNDS = 10;

/** Of a `--quick` run. */
export const TOO_SHORT = "Too short to learn anything: it shows that everything runs.";

export const isTooShort = ({ options }: Pick<DemoReport, "options">): boolean => {
  const of = (wanted: string) => options.find(({ name }) => name === wanted)?.value;
  return of("--quick") !== undefined && Number(of("--rounds")) < FEWEST_ROUNDS;
};

/** First and last global loss and their relative difference; null before the second round. */
export function lossFall({ training }: DemoReport): { first: number; last: number; change: number } | null {
  const losses = training.rounds.flatMap(({ loss }) => loss ?? []);
  const [first] = losses;
  const last = losses.at(-1);
  if (first === undefined || last === undefined || losses.length < 2 || first === 0) return null;
  return { first, last, change: (last - first) / first };
}

export function sentBytes({ objects }: Outflow): number {
  return objects.reduce((sum, { bytes }) => sum + bytes, 0);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
