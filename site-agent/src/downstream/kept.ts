/** Which of the compared networks is kept, how good it is, and whether another was better: told to whoever saves one. */
import { comparisonOf, measureText, MODE_TEXT, ORIGIN_TEXT } from "./describe.ts";
import type { DownstreamMode, EncoderOrigin, Exemplar, FinetuneOptions, FinetuneResult } from "./types.ts";

interface Network {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
}

/** Whether a run's network is one to keep; of several the last one is. */
export const isKept = ({ keep }: Pick<FinetuneOptions, "keep">, { from, mode }: Network): boolean =>
  (keep.from ?? from) === from && (keep.mode ?? mode) === mode;

export interface KeptNetwork extends Network {
  readonly seed: 1;
  /** The measure to compare by. */
  readonly measure: string;
  /** Of this very network; null where it could not be measured. */
  readonly value: number | null;
  /** Mean over the seeds of its kind. */
  readonly mean: number | null;
  /** The best other kind that could be kept, if its mean is higher. */
  readonly better: (Network & { readonly mean: number }) | null;
}

export function keptNetwork(
  result: FinetuneResult,
  { from, mode }: Pick<Exemplar, "from" | "mode">,
): KeptNetwork {
  const { measures, rows } = comparisonOf(result);
  const [measure = ""] = measures;
  // A probe of classes trains no network.
  const candidates = rows.flatMap(({ values, ...row }) => {
    const mean = values[0]?.value;
    const isNetwork = result.task !== "classification" || row.mode !== "probe";
    return mean === undefined || !isNetwork ? [] : [{ from: row.from, mode: row.mode, mean }];
  });
  const mean = candidates.find((row) => row.from === from && row.mode === mode)?.mean ?? null;
  const [best] = candidates.toSorted((a, b) => b.mean - a.mean);
  const better = best === undefined || mean === null || best.mean <= mean ? null : best;
  return { from, mode, seed: 1, measure, value: valueOf(result, { from, mode }, measure), mean, better };
}

function valueOf(result: FinetuneResult, { from, mode }: Network, measure: string): number | null {
  const isIt = (row: Network & { readonly seed: number }): boolean =>
    row.from === from && row.mode === mode && row.seed === 1;
  return result.task === "classification"
    ? (result.rows.find(isIt)?.auroc.value ?? null)
    : (result.rows.find(isIt)?.measures[measure]?.value ?? null);
}

const nameOf = ({ from, mode }: Network): string => `${ORIGIN_TEXT[from]}, ${MODE_TEXT[mode]}`;

/** For example "federated encoder, whole network, seed 1, AUROC 0.750". */
export function describeKept(kept: KeptNetwork): string {
  const value =
    kept.value === null ? "not measured" : `${measureText(kept.measure)} ${kept.value.toFixed(3)}`;
  return `${nameOf(kept)}, seed ${kept.seed}, ${value}`;
}

/** Null where none was better. */
export function describeBetter({ better, mean, measure }: KeptNetwork): string | null {
  if (better === null || mean === null) return null;
  return `${nameOf(better)} was better: ${measureText(measure)} ${better.mean.toFixed(3)} against ${mean.toFixed(3)}, means over seeds; to keep that: --save-from ${better.from} --save-mode ${better.mode}`;
}

/** A loss that fell by less than this share has taught the network nothing. */
const LEAST_FALL = 0.02;

/** Runs whose training loss did not fall, in words; empty where all did. */
export function withoutFall(result: FinetuneResult): readonly string[] {
  return result.details.flatMap(({ losses, seed, ...network }) => {
    const [first] = losses;
    const last = losses.at(-1);
    if (first === undefined || last === undefined || losses.length < 2) return [];
    if (last < (1 - LEAST_FALL) * first) return [];
    return [
      `The loss did not fall: ${nameOf(network)}, seed ${seed} (${first.toFixed(3)} to ${last.toFixed(3)}). It has learned nothing; try more labels or more --epochs.`,
    ];
  });
}
