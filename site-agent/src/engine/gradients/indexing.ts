/** Gradient rules of kernels that select by index. */
import * as tf from "@tensorflow/tfjs-core";
import { oneHotRows } from "../compositions/composition.ts";
import { none, rule, ruleOfMany } from "./rule.ts";

const sizeOf = (shape: readonly number[]): number => tf.util.sizeFromShape([...shape]);

/**
 * Of x [batch.., a.., n, c..] at indices [batch.., i..]: each row gets the sum of the gradients of its copies, as a
 * product with one-hot rows.
 * @param dy [batch.., a.., i.., c..]
 */
function gatherGradient(
  dy: tf.Tensor,
  x: tf.Tensor,
  indices: tf.Tensor,
  axis: number,
  batchDims: number,
): tf.Tensor {
  const batch = x.shape.slice(0, batchDims);
  const outer = x.shape.slice(batchDims, axis);
  const rest = x.shape.slice(axis + 1);
  const rows = x.shape[axis] ?? 1;
  const [items, picked] = [sizeOf(batch), sizeOf(indices.shape.slice(batchDims))];
  const copies = tf.transpose(tf.reshape(dy, [items, sizeOf(outer), picked, sizeOf(rest)]), [0, 2, 1, 3]);
  const hits = oneHotRows(tf.reshape(indices, [items, picked]), rows);
  const flat = tf.reshape(copies, [items, picked, sizeOf(outer) * sizeOf(rest)]);
  const sums = tf.reshape(tf.matMul(hits, flat, true, false), [items, rows, sizeOf(outer), sizeOf(rest)]); // prettier-ignore
  return tf.reshape(tf.transpose(sums, [0, 2, 1, 3]), x.shape);
}

export const indexingRules: readonly tf.GradConfig[] = [
  rule(tf.GatherV2, { inputs: ["x", "indices"] }, (dy, saved, { axis, batchDims }: tf.GatherV2Attrs) => {
    const [x, indices] = [saved.at(0), saved.at(1)];
    return {
      x: () => gatherGradient(dy, x, indices, axis < 0 ? axis + x.rank : axis, batchDims),
      indices: () => none(indices),
    };
  }),
  rule(tf.GatherNd, { inputs: ["params", "indices"] }, (dy, saved) => ({
    params: () => tf.scatterND(tf.cast(saved.at(1), "int32"), dy, saved.at(0).shape),
    indices: () => none(saved.at(1)),
  })),
  rule(tf.OneHot, { inputs: ["indices"] }, (_, saved) => ({ indices: () => none(saved.at(0)) })),
  ruleOfMany(tf.TopK, { inputs: ["x"], outputs: [false, true] }, ([dy], saved) => ({
    x: () => {
      const [x, indices] = [saved.at(0), saved.at(1)];
      if (dy === undefined) return none(x);
      const hits = oneHotRows(indices, x.shape.at(-1) ?? 1);
      return tf.sum(tf.mul(hits, tf.expandDims(dy, -1)), -2);
    },
  })),
];
