/**
 * Sums over elements that indices name. Each is a product with one-hot rows: the same on every device, in the same
 * order of additions, and differentiable.
 */
import * as tf from "@tensorflow/tfjs-core";
import { composition, oneHotRows, type Composition, type Tensors } from "./composition.ts";

const sizeOf = (shape: readonly number[]): number => tf.util.sizeFromShape([...shape]);

/**
 * @param indices [n]; values [n, m]
 * @returns [count, m]: row i is the sum of the values whose index is i; indices out of range count for nothing
 */
function sumRows(indices: tf.Tensor, values: tf.Tensor, count: number): tf.Tensor {
  return tf.matMul(oneHotRows(indices, count), tf.cast(values, "float32"), true, false);
}

/** @param indices [.., d], each naming a slice of a tensor of shape `shape` */
function scatter(indices: tf.Tensor, updates: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const depth = indices.shape.at(-1) ?? 1;
  const named = shape.slice(0, depth);
  const strides = named.map((_, axis) => sizeOf(named.slice(axis + 1)));
  const rows = tf.reshape(tf.cast(indices, "int32"), [-1, depth]);
  const flat = tf.sum(tf.mul(rows, tf.tensor(strides, [1, depth], "int32")), 1);
  const values = tf.reshape(updates, [flat.size, sizeOf(shape.slice(depth))]);
  return tf.reshape(sumRows(flat, values, sizeOf(named)), [...shape]);
}

/** 1 where an index names an element, of shape `shape`. */
const named = (indices: tf.Tensor, updates: tf.Tensor, shape: readonly number[]): tf.Tensor =>
  tf.greater(scatter(indices, tf.onesLike(updates), shape), 0);

type ScatterInputs = Tensors<"indices" | "updates">;

interface CountAttributes {
  readonly size: number;
  readonly binaryOutput?: boolean;
}

/** How often each of 0 .. size - 1 occurs along the last axis, weighted. */
function countValues(
  x: tf.Tensor,
  weights: tf.Tensor,
  { size, binaryOutput = false }: CountAttributes,
): tf.Tensor {
  const hits = oneHotRows(x, size);
  const weighted =
    weights.size === 0 || binaryOutput ? hits : tf.mul(hits, tf.expandDims(tf.cast(weights, "float32"), -1));
  const counts = binaryOutput ? tf.max(weighted, -2) : tf.sum(weighted, -2);
  return tf.cast(counts, weights.dtype);
}

const counting = (name: string): Composition =>
  composition(name, [], ({ x, weights }: Tensors<"x" | "weights">, attributes: CountAttributes) =>
    countValues(x, weights, attributes),
  );

export const scatterCompositions: readonly Composition[] = [
  composition(
    tf.ScatterNd,
    ["indices", "updates"],
    ({ indices, updates }: ScatterInputs, { shape }: tf.ScatterNdAttrs) =>
      tf.cast(scatter(indices, updates, shape), updates.dtype),
  ),
  composition(
    tf.TensorScatterUpdate,
    ["tensor", "indices", "updates"],
    ({ tensor, indices, updates }: ScatterInputs & Tensors<"tensor">) => {
      const written = tf.cast(scatter(indices, updates, tensor.shape), tensor.dtype);
      return tf.where(named(indices, updates, tensor.shape), written, tensor);
    },
  ),
  composition(
    tf.SparseToDense,
    ["sparseIndices", "sparseValues", "defaultValue"],
    (
      {
        sparseIndices,
        sparseValues,
        defaultValue,
      }: Tensors<"sparseIndices" | "sparseValues" | "defaultValue">,
      { outputShape }: tf.SparseToDenseAttrs,
    ) => {
      const rank = outputShape.length;
      const indices = tf.reshape(sparseIndices, [-1, rank]);
      const values = tf.broadcastTo(sparseValues, [sparseIndices.size / rank]);
      const written = tf.cast(scatter(indices, values, outputShape), sparseValues.dtype);
      const rest = tf.broadcastTo(defaultValue, outputShape);
      return tf.where(named(indices, values, outputShape), written, rest);
    },
  ),
  composition(
    tf.UnsortedSegmentSum,
    ["x", "segmentIds"],
    ({ x, segmentIds }: Tensors<"x" | "segmentIds">, { numSegments }: tf.UnsortedSegmentSumAttrs) => {
      const rest = x.shape.slice(segmentIds.rank);
      const rows = tf.reshape(x, [segmentIds.size, sizeOf(rest)]);
      const sums = sumRows(tf.reshape(segmentIds, [segmentIds.size]), rows, numSegments);
      return tf.reshape(sums, [numSegments, ...rest]);
    },
  ),
  composition(tf.Diag, ["x"], ({ x }: Tensors<"x">) => {
    const column = tf.reshape(x, [x.size, 1]);
    const square = tf.mul(column, tf.cast(tf.eye(x.size), x.dtype));
    return tf.reshape(square, [...x.shape, ...x.shape]);
  }),
];

/** These return counts and positions, which have no gradient. */
export const countingCompositions: readonly Composition[] = [
  counting(tf.Bincount),
  counting(tf.DenseBincount),
  composition(
    tf.SearchSorted,
    [],
    (
      { sortedSequence, values }: Tensors<"sortedSequence" | "values">,
      { side }: { readonly side: "left" | "right" },
    ) => {
      const [sequence, column] = [tf.expandDims(sortedSequence, 1), tf.expandDims(values, 2)];
      const before = side === "left" ? tf.less(sequence, column) : tf.lessEqual(sequence, column);
      return tf.sum(tf.cast(before, "int32"), 2);
    },
  ),
];
