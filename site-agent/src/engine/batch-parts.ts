/** A batch in equal parts, one after the other or on several devices, and one result out of the parts' results. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { InputArray, InputArrays, InputSpecs } from "./types.ts";

/**
 * The inputs of one part: axis 0 of each input counts examples.
 * @throws engine.uneven-batch
 */
export function partSpecs<I extends InputSpecs>(inputs: I, parts: number): I {
  const cut = Object.entries(inputs).map(([name, { shape, dtype }]) => {
    const [examples = 0, ...rest] = shape;
    if (examples === 0 || examples % parts !== 0) {
      throw new ConsiliumError("engine.uneven-batch", {
        detail: `(${name}: ${examples} into ${parts})`,
        culprits: [name],
      });
    }
    return [name, { shape: [examples / parts, ...rest], dtype }];
  });
  return Object.fromEntries(cut) as I;
}

/** Copies of each part's rows, in order. @throws engine.uneven-batch */
export function cutBatch<I extends InputSpecs>(batch: InputArrays<I>, parts: number): InputArrays<I>[] {
  const arrays = Object.entries<InputArray>(batch);
  return Array.from({ length: parts }, (_, part) => {
    const rows = arrays.map(([name, array]) => {
      const length = array.length / parts;
      if (!Number.isInteger(length)) throw new ConsiliumError("engine.uneven-batch", { culprits: [name] });
      return [name, array.slice(part * length, (part + 1) * length)];
    });
    return Object.fromEntries(rows) as InputArrays<I>;
  });
}

/** The loss is a mean over examples, and the parts are equal. */
export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

type Metrics = Readonly<Record<string, Float32Array>>;

/** Single numbers are averaged; longer metrics hold one entry or row for each example and are put together in order. */
export function joinMetrics(parts: readonly Metrics[]): Metrics {
  const [first = {}] = parts;
  return Object.fromEntries(
    Object.keys(first).map((name) => [name, joined(parts.map((metrics) => metrics[name] ?? NOTHING))]),
  );
}

const NOTHING = new Float32Array();

function joined(values: readonly Float32Array[]): Float32Array {
  if (values.every(({ length }) => length === 1))
    return Float32Array.of(meanOf(values.map(([v = NaN]) => v)));
  const whole = new Float32Array(values.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of values) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
