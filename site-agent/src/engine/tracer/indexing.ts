/** Kernels that select by index, and kernels that make tensors from nothing. */
import * as tf from "@tensorflow/tfjs-core";
import type { GraphBuilder } from "../graph/builder.ts";
import { int, sizeOf, type Value } from "../graph/ir.ts";
import { positiveAxis, withLength } from "../graph/shapes.ts";
import { tracedDtype, transpose } from "./emit.ts";
import { kernel, type Inputs, type TracedKernel } from "./kernel.ts";

/**
 * x [batch.., a.., n, c..] at indices [batch.., i..] gives [batch.., a.., i.., c..].
 * With batch axes it becomes one flat gather: row b of the batch starts at b * n.
 */
function gather(graph: GraphBuilder, x: Value, indices: Value, axis: number, batchDims: number): Value {
  const picked = indices.shape.slice(batchDims);
  if (batchDims === 0) {
    const shape = [...x.shape.slice(0, axis), ...picked, ...x.shape.slice(axis + 1)];
    return graph.emit("Gather", [x, indices], { shape, dtype: x.dtype }, { attributes: { axis: int(axis) } });
  }
  if (axis !== batchDims) {
    const [from, to] = [axis, batchDims];
    const order = x.shape.map((_, i) => i).filter((i) => i !== from);
    const rows = transpose(graph, x, [...order.slice(0, to), from, ...order.slice(to)]);
    const gathered = gather(graph, rows, indices, to, batchDims);
    // [batch.., i.., a.., c..] with the a before the i again.
    const [first, middle] = [batchDims, from - to];
    const all = gathered.shape.map((_, i) => i);
    const split = first + picked.length;
    const back = [...all.slice(0, first), ...all.slice(split, split + middle), ...all.slice(first, split)];
    return transpose(graph, gathered, [...back, ...all.slice(split + middle)]);
  }
  const batch = x.shape.slice(0, batchDims);
  const length = x.shape[axis] ?? 0;
  const rest = x.shape.slice(axis + 1);
  const rows = sizeOf(batch);
  const flat = graph.reshape(x, [rows * length, ...rest]);
  const starts = graph.constant(
    Int32Array.from({ length: rows }, (_, row) => row * length),
    { shape: [...batch, ...picked.map(() => 1)], dtype: "int32" },
  );
  const absolute = graph.emit("Add", [indices, starts], { shape: indices.shape, dtype: "int32" });
  const shape = [...indices.shape, ...rest];
  return graph.emit("Gather", [flat, absolute], { shape, dtype: x.dtype }, { attributes: { axis: int(0) } });
}

const indexKernels: readonly TracedKernel[] = [
  kernel(
    tf.GatherV2,
    (graph, { x, indices }: Inputs<"x" | "indices">, { axis, batchDims }: tf.GatherV2Attrs) =>
      gather(
        graph,
        x,
        graph.cast(indices, "int32"),
        positiveAxis(axis, x.shape.length),
        positiveAxis(batchDims, indices.shape.length),
      ),
  ),
  kernel(tf.GatherNd, (graph, { params, indices }: Inputs<"params" | "indices">) => {
    const depth = indices.shape.at(-1) ?? 0;
    const shape = [...indices.shape.slice(0, -1), ...params.shape.slice(depth)];
    return graph.emit("GatherND", [params, graph.cast(indices, "int64")], { shape, dtype: params.dtype });
  }),
  kernel(
    tf.OneHot,
    (graph, { indices }: Inputs<"indices">, { depth, onValue, offValue, dtype }: tf.OneHotAttrs) => {
      // ONNX Runtime's OneHot knows few mixtures of types; a comparison knows them all.
      const classes = graph.constant(
        Int32Array.from({ length: depth }, (_, i) => i),
        { shape: [depth], dtype: "int32" },
      );
      const column = graph.reshape(graph.cast(indices, "int32"), [...indices.shape, 1]);
      const shape = [...indices.shape, depth];
      const hit = graph.emit("Equal", [column, classes], { shape, dtype: "bool" });
      const to = tracedDtype(dtype);
      if (onValue === 1 && offValue === 0) return graph.cast(hit, to);
      return graph.emit("Where", [hit, graph.scalar(onValue, to), graph.scalar(offValue, to)], {
        shape,
        dtype: to,
      });
    },
  ),
  kernel(tf.TopK, (graph, { x }: Inputs<"x">, { k, sorted }: tf.TopKAttrs) => {
    const shape = withLength(x.shape, x.shape.length - 1, k);
    const [values, positions] = graph.emitMany(
      "TopK",
      [x, graph.indices([k])],
      [
        { shape, dtype: x.dtype },
        { shape, dtype: "int64" },
      ],
      { attributes: { axis: int(-1), largest: int(1), sorted: int(sorted ? 1 : 0) } },
    );
    if (values === undefined || positions === undefined) throw new RangeError("TopK has two outputs");
    return [values, graph.cast(positions, "int32")];
  }),
];

const creationKernels: readonly TracedKernel[] = [
  kernel(tf.Fill, (graph, _, { shape, value, dtype }: tf.FillAttrs) =>
    graph.full(Number(value), { shape, dtype: tracedDtype(dtype) }),
  ),
  kernel(tf.ZerosLike, (graph, { x }: Inputs<"x">) => graph.full(0, x)),
  kernel(tf.OnesLike, (graph, { x }: Inputs<"x">) => graph.full(1, x)),
  kernel(tf.Range, (graph, _, { start, stop, step, dtype }: tf.RangeAttrs) => {
    const length = Math.max(0, Math.ceil((stop - start) / step));
    const numbers = Array.from({ length }, (_value, i) => start + i * step);
    const data = dtype === "int32" ? Int32Array.from(numbers) : Float32Array.from(numbers);
    return graph.constant(data, { shape: [length], dtype });
  }),
  kernel(tf.LinSpace, (graph, _, { start, stop, num }: tf.LinSpaceAttrs) => {
    const step = num > 1 ? (stop - start) / (num - 1) : 0;
    return graph.constant(
      Float32Array.from({ length: num }, (_value, i) => start + i * step),
      { shape: [num], dtype: "float32" },
    );
  }),
];

export const indexingKernels: readonly TracedKernel[] = [...indexKernels, ...creationKernels];
