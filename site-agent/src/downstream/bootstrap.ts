/** Percentile intervals from resampled patients (Efron and Tibshirani 1993, chapter 13). */
import { Random } from "../dataset/random.ts";
import type { Statistic } from "./metrics.ts";

export interface BootstrapOptions {
  readonly resamples: number;
  readonly seed: number;
  /** Share of the resamples inside the interval. */
  readonly level: number;
}

export const BOOTSTRAP_DEFAULTS: BootstrapOptions = { resamples: 1000, seed: 1, level: 0.95 };

/** A value with its interval, whose bounds are null where the patients are too few to tell how far it may be off. */
export interface Estimate {
  readonly value: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** Patients below whom resampling says little of others. */
const FEWEST_PATIENTS = 5;
/** Share of the resamples that may lack a value, for example for want of a class: more of them would be those that look best. */
const MOST_UNDEFINED = 0.05;
/** Resamples closer together do not differ. */
const SAME = 1e-12;

/**
 * Each statistic on all images, with the percentile interval of its values on resampled patients. Images of one
 * patient are drawn together, because they are not independent. All statistics see the same resamples, so a
 * difference of two of them is a paired comparison. Where a statistic is undefined on too many resamples, or the same on all of
 * them (a perfect score of few patients), there is no interval; one that is undefined on all images gives null, so that it
 * never ends a run.
 *
 * @param patients the patient of each image
 */
export function bootstrapByPatient<K extends string>(
  statistics: Readonly<Record<K, Statistic>>,
  patients: readonly string[],
  { resamples, seed, level }: BootstrapOptions = BOOTSTRAP_DEFAULTS,
): Record<K, Estimate | null> {
  const names = Object.keys(statistics) as K[];
  const samples = new Map<K, number[]>(names.map((name) => [name, []]));
  const patientIndex = new Map<string, number>();
  const patientOf = Int32Array.from(patients, (patient) => {
    const index = patientIndex.get(patient) ?? patientIndex.size;
    patientIndex.set(patient, index);
    return index;
  });
  const random = new Random(seed, patients.length);
  const draws = new Int32Array(patientIndex.size);
  const weights = new Int32Array(patients.length);
  for (let resample = 0; resample < resamples; resample++) {
    draws.fill(0);
    for (let i = 0; i < draws.length; i++) {
      const drawn = random.below(draws.length);
      draws[drawn] = (draws[drawn] ?? 0) + 1;
    }
    for (let i = 0; i < weights.length; i++) weights[i] = draws[patientOf[i] ?? 0] ?? 0;
    for (const name of names) {
      const value = statistics[name](weights);
      if (value !== null) samples.get(name)?.push(value);
    }
  }
  const tail = (1 - level) / 2;
  const estimate = (name: K): Estimate | null => {
    const value = statistics[name]();
    if (value === null) return null;
    const sorted = Float64Array.from(samples.get(name) ?? []).sort();
    const isKnown = draws.length >= FEWEST_PATIENTS && sorted.length >= (1 - MOST_UNDEFINED) * resamples;
    const [low, high] = [quantile(sorted, tail), quantile(sorted, 1 - tail)];
    if (!isKnown || low === null || high === null || high - low < SAME)
      return { value, low: null, high: null };
    return { value, low, high };
  };
  return Object.fromEntries(names.map((name) => [name, estimate(name)])) as Record<K, Estimate | null>;
}

/** Linear interpolation between order statistics (Hyndman and Fan 1996, definition 7). Null of an empty list. */
function quantile(sorted: Float64Array, share: number): number | null {
  if (sorted.length === 0) return null;
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] ?? 0;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? 0;
  return low + (position - below) * (high - low);
}
