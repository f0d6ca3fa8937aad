/** The way of a definition's metrics out of a program. */
import * as tf from "./tf.ts";

// A metric of rank 0 is a mean over examples, any other has a row for each of them: they are put together differently.
// Both prefixes are equally long.
const MEAN = "mean.";
const ROWS = "rows.";

export type Metrics = Readonly<Record<string, Float32Array>>;

/** What the definition named, as outputs of a program. */
export const metricOutputs = (metrics: Readonly<Record<string, tf.Tensor>>): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(metrics).map(([name, metric]) => [
      (metric.rank === 0 ? MEAN : ROWS) + name,
      tf.cast(metric, "float32"),
    ]),
  );

/** Copies of the outputs that the definition named, under its names. */
export function metricsOf(outputs: ReadonlyMap<string, Float32Array>): Metrics {
  return joinMetrics([outputs]);
}

/** Of equal parts of a batch, given in order: means of what is a mean, rows one part after the other. */
export function joinMetrics(parts: readonly ReadonlyMap<string, Float32Array>[]): Metrics {
  const joined = [...joinMetricOutputs(parts)];
  return Object.fromEntries(joined.map(([name, values]) => [name.slice(MEAN.length), values]));
}

/** The same with the names that a program gives them, to be put together with those of more parts. */
export function joinMetricOutputs(
  parts: readonly ReadonlyMap<string, Float32Array>[],
): ReadonlyMap<string, Float32Array> {
  const joined = new Map<string, Float32Array>();
  for (const name of parts[0]?.keys() ?? []) {
    const values = parts.map((outputs) => outputs.get(name) ?? new Float32Array());
    if (name.startsWith(ROWS)) joined.set(name, concatenate(values));
    if (name.startsWith(MEAN)) {
      const sum = values.reduce((total, [value = NaN]) => total + value, 0);
      joined.set(name, Float32Array.of(sum / values.length));
    }
  }
  return joined;
}

/** A copy even of a single one: programs write into the same arrays run after run. */
function concatenate(values: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(values.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of values) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
