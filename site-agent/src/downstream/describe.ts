/** A comparison in words, for the terminal and the report. */
import type { Estimate } from "./bootstrap.ts";
import type { Choice, DownstreamMode, EncoderDifference, EncoderOrigin, FinetuneResult } from "./types.ts";

export const ORIGIN_TEXT: Readonly<Record<EncoderOrigin, string>> = {
  scratch: "from scratch",
  own: "own encoder",
  global: "federated encoder",
};

export const MODE_TEXT: Readonly<Record<DownstreamMode, string>> = {
  probe: "head alone",
  finetune: "whole network",
  released: "as released",
};

interface RowName {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
}

/** One encoder and mode, over all seeds. */
export interface ComparedRow extends RowName {
  readonly seeds: number;
  /** In the order of the measures. */
  readonly values: readonly (Estimate | null)[];
  /** Of the first measure, over starting from scratch. */
  readonly gain: Estimate | null;
}

/** The summary of any task as one table. */
export function comparisonOf(result: FinetuneResult): {
  readonly measures: readonly string[];
  readonly rows: readonly ComparedRow[];
} {
  if (result.task === "classification") {
    const rows = result.summary.map(({ from, mode, seeds, auroc, accuracy, aurocGain }) => ({
      from,
      mode,
      seeds,
      values: [auroc, accuracy],
      gain: aurocGain,
    }));
    return { measures: ["auroc", "accuracy"], rows };
  }
  const { measures } = result;
  const rows = result.summary.map(({ from, mode, seeds, measures: means, gain }) => ({
    from,
    mode,
    seeds,
    values: measures.map((name) => means[name] ?? null),
    gain,
  }));
  return { measures, rows };
}

const MEASURE_TEXT: Readonly<Partial<Record<string, string>>> = {
  auroc: "AUROC",
  auprc: "AUPRC",
  ece: "calibration error",
  dice: "Dice",
  hd95: "HD95 (px)",
  hd95_mm: "HD95 (mm)",
};

export const measureText = (name: string): string => MEASURE_TEXT[name] ?? name;

/** What a person reads at the terminal. */
export function describeResult(result: FinetuneResult): string {
  const { classes, labels, test, testSource } = result;
  const { measures, rows } = comparisonOf(result);
  const width = 24;
  const cells = (values: readonly string[]): string =>
    values
      .map((text) => text.padEnd(width))
      .join(" ")
      .trimEnd();
  return [
    `Classes: ${classes.join(", ")}. Trained on ${labels.images} labels (${labels.patients} patients), tested on ${test.images} images (${test.patients} patients).`,
    ...(testSource === "split" ? ["The encoders may have seen the test images, without labels."] : []),
    ...unscoredText(result),
    "",
    `${"encoder".padEnd(18)} ${"mode".padEnd(9)} ${cells([...measures.map((name) => `${measureText(name)} [95 %]`), "gain [95 %]"])}`,
    ...rows.map(({ from, mode, values, gain }) =>
      `${ORIGIN_TEXT[from].padEnd(18)} ${mode.padEnd(9)} ${cells([...values, gain].map(interval))}`.trimEnd(),
    ),
    ...(lacksInterval(rows) ? [NO_INTERVAL] : []),
    ...describeClasses(result),
    ...describeDifferences(result.differences, measureText(measures[0] ?? "")),
  ].join("\n");
}

/** Of the trainings that the patients kept back did not end; empty where there are none. */
export function unscoredText({ details }: FinetuneResult): readonly string[] {
  const choices: readonly Choice[] = details.map(({ choice }) => choice);
  const unscored = choices.filter((choice) => choice === "unscored").length;
  if (unscored === 0) return [];
  const trainings = choices.filter((choice) => choice !== null).length;
  return [
    `In ${unscored} of ${trainings} trainings no labels could be kept back, or they could not say which weights were good: trained to the end.`,
  ];
}

/** The first measure of single classes: a line for each class, encoder and mode. Empty where there is one class. */
export function classRows(result: FinetuneResult): readonly (RowName & {
  readonly name: string;
  readonly value: Estimate | null;
})[] {
  if (result.task === "classification" || result.classes.length === 1) return [];
  const [main = ""] = result.measures;
  const prefix = main === "mAP@.5" ? "AP@.5" : main;
  return result.classes.flatMap((name) =>
    result.summary.map(({ from, mode, measures }) => ({
      name,
      from,
      mode,
      value: measures[`${prefix} ${name}`] ?? null,
    })),
  );
}

function describeClasses(result: FinetuneResult): readonly string[] {
  return classRows(result).map(
    ({ name, from, mode, value }, i) =>
      `${i === 0 ? "\n" : ""}${name.padEnd(28)} ${ORIGIN_TEXT[from].padEnd(18)} ${mode.padEnd(9)} ${value === null ? "not measured" : interval(value)}`,
  );
}

function describeDifferences(differences: readonly EncoderDifference[], measure: string): readonly string[] {
  if (differences.length === 0) return [];
  return [
    "",
    `${`${measure}, one encoder less another`.padEnd(45)} ${"bootstrap by patient".padEnd(24)} ${"DeLong".padEnd(24)} p`,
    ...differences.map(({ from, over, mode, bootstrap, delong }) =>
      [
        `${ORIGIN_TEXT[from]} - ${ORIGIN_TEXT[over]}, ${mode}`.padEnd(45),
        interval(bootstrap).padEnd(24),
        interval(delong).padEnd(24),
        delong === null ? "" : pText(delong.p),
      ]
        .join(" ")
        .trimEnd(),
    ),
  ];
}

/** As journals print it. */
export const pText = (p: number): string => (p < 0.001 ? "< 0.001" : p.toFixed(3));

const interval = (estimate: Estimate | null): string =>
  estimate === null ? "" : `${estimate.value.toFixed(3)} ${boundsText(estimate)}`;

export const boundsText = ({ low, high }: Estimate): string =>
  low === null || high === null ? "[no interval]" : `[${low.toFixed(3)}, ${high.toFixed(3)}]`;

/** Why there is none. */
export const NO_INTERVAL =
  "No interval: of too few patients with a class resampling cannot tell how far a value may be off, nor of a perfect one.";

/** Of the summary's values. */
export const lacksInterval = (rows: readonly ComparedRow[]): boolean =>
  rows.some(({ values, gain }) =>
    [...values, gain].some((estimate) => estimate !== null && estimate.low === null),
  );
