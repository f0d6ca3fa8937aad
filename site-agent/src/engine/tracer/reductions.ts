/** Kernels that reduce axes, and softmax. */
import * as tf from "@tensorflow/tfjs-core";
import type { GraphBuilder } from "../graph/builder.ts";
import { int, type Value } from "../graph/ir.ts";
import { positiveAxis } from "../graph/shapes.ts";
import { kernel, type Inputs, type TracedKernel } from "./kernel.ts";

interface ReductionAttributes {
  readonly axis: number | number[];
  readonly keepDims: boolean;
}

function reduce(graph: GraphBuilder, op: string, x: Value, { axis, keepDims }: ReductionAttributes): Value {
  const axes = tf.util.parseAxisParam(axis, [...x.shape]);
  if (axes.length === 0) return x;
  const shape = keepDims
    ? x.shape.map((length, i) => (axes.includes(i) ? 1 : length))
    : x.shape.filter((_, i) => !axes.includes(i));
  const attributes = { keepdims: int(keepDims ? 1 : 0) };
  return graph.emit(op, [x, graph.indices(axes)], { shape, dtype: x.dtype }, { attributes });
}

const integer = (graph: GraphBuilder, x: Value): Value => (x.dtype === "bool" ? graph.cast(x, "int32") : x);

const reduction = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">, attributes: ReductionAttributes) =>
    reduce(graph, op, integer(graph, x), attributes),
  );

const boolReduction = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">, attributes: ReductionAttributes) =>
    graph.cast(reduce(graph, op, graph.cast(x, "int32"), attributes), "bool"),
  );

const argument = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">, { axis }: { readonly axis: number }) => {
    const along = positiveAxis(axis, x.shape.length);
    const shape = x.shape.filter((_, i) => i !== along);
    const attributes = { axis: int(along), keepdims: int(0) };
    return graph.cast(
      graph.emit(op, [integer(graph, x)], { shape, dtype: "int64" }, { attributes }),
      "int32",
    );
  });

function softmax(graph: GraphBuilder, op: string, logits: Value, axis: number): Value {
  const x = graph.cast(logits, "float32");
  const attributes = { axis: int(positiveAxis(axis, x.shape.length)) };
  return graph.emit(op, [x], { shape: x.shape, dtype: "float32" }, { attributes });
}

export const reductionKernels: readonly TracedKernel[] = [
  reduction(tf.Sum, "ReduceSum"),
  kernel(tf.Max, (graph, { x }: Inputs<"x">, { reductionIndices, keepDims }: tf.MaxAttrs) =>
    reduce(graph, "ReduceMax", integer(graph, x), { axis: reductionIndices, keepDims }),
  ),
  reduction(tf.Min, "ReduceMin"),
  reduction(tf.Prod, "ReduceProd"),
  kernel(tf.Mean, (graph, { x }: Inputs<"x">, attributes: ReductionAttributes) =>
    reduce(graph, "ReduceMean", graph.cast(x, "float32"), attributes),
  ),
  boolReduction(tf.All, "ReduceMin"),
  boolReduction(tf.Any, "ReduceMax"),
  argument(tf.ArgMax, "ArgMax"),
  argument(tf.ArgMin, "ArgMin"),
  kernel(tf.Cumsum, (graph, { x }: Inputs<"x">, { axis, exclusive, reverse }: tf.CumsumAttrs) => {
    const along = graph.constant(Int32Array.of(positiveAxis(axis, x.shape.length)), {
      shape: [],
      dtype: "int32",
    });
    const attributes = { exclusive: int(exclusive ? 1 : 0), reverse: int(reverse ? 1 : 0) };
    return graph.emit(
      "CumSum",
      [integer(graph, x), along],
      { shape: x.shape, dtype: x.dtype },
      { attributes },
    );
  }),
  kernel(tf.Softmax, (graph, { logits }: Inputs<"logits">, { dim }: tf.SoftmaxAttrs) =>
    softmax(graph, "Softmax", logits, dim),
  ),
  kernel(tf.LogSoftmax, (graph, { logits }: Inputs<"logits">, { axis }: tf.LogSoftmaxAttrs) =>
    softmax(graph, "LogSoftmax", logits, axis),
  ),
];
