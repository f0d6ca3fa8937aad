/** A kernel of TF.js written in other operations of TF.js. */
import * as tf from "@tensorflow/tfjs-core";

/** A kernel's inputs by TF.js' names. */
export type Tensors<Name extends string> = Readonly<Record<Name, tf.Tensor>>;

export interface Composition {
  /** TF.js' kernel name. */
  readonly name: string;
  /** TF.js' names of the inputs, where the gradient is that of the operations below; "all": numbered ones. */
  readonly inputs: readonly string[] | "all";
  /** A method on purpose: a composition names the inputs and attributes that TF.js declares for its kernel. */
  compose(inputs: Tensors<string>, attributes: object): tf.Tensor;
}

export const composition = (
  name: string,
  inputs: Composition["inputs"],
  compose: Composition["compose"],
): Composition => ({ name, inputs, compose });

/** `values` with the one at `index` replaced. */
export const replaced = <T>(values: readonly T[], index: number, value: T): T[] =>
  values.map((old, i) => (i === index ? value : old));

/** For each index a row with 1 in its place and 0 elsewhere, [.., count]; unlike tf.oneHot of one class too. */
export function oneHotRows(indices: tf.Tensor, count: number): tf.Tensor {
  const column = tf.expandDims(tf.cast(indices, "int32"), -1);
  return tf.cast(tf.equal(column, tf.range(0, count, 1, "int32")), "float32");
}

/** Adds `before` and `after` elements of `fill` along one axis; negative numbers take elements away. */
export function padAxis(x: tf.Tensor, axis: number, before: number, after: number, fill = 0): tf.Tensor {
  const length = x.shape[axis] ?? 0;
  const kept = length + Math.min(0, before) + Math.min(0, after);
  const cut = sliceAxis(x, axis, Math.max(0, -before), kept);
  if (before <= 0 && after <= 0) return cut;
  const none = x.shape.map((): [number, number] => [0, 0]);
  return tf.pad(cut, replaced(none, axis, [Math.max(0, before), Math.max(0, after)]), fill);
}

/** `length` elements from `start`, `step` apart, along one axis. */
export function sliceAxis(x: tf.Tensor, axis: number, start: number, length: number, step = 1): tf.Tensor {
  if (start === 0 && length === x.shape[axis]) return x;
  const begin = replaced(
    x.shape.map(() => 0),
    axis,
    start,
  );
  if (step === 1) return tf.slice(x, begin, replaced(x.shape, axis, length));
  const end = replaced(x.shape, axis, start + (length - 1) * step + 1);
  const steps = replaced(
    x.shape.map(() => 1),
    axis,
    step,
  );
  return tf.stridedSlice(x, begin, end, steps);
}
