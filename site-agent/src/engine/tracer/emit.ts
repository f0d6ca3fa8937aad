/** ONNX operators as functions of a graph under construction; the traced kernels are written in these. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { GraphBuilder } from "../graph/builder.ts";
import { ints, type Attributes, type Dtype, type Value } from "../graph/ir.ts";
import { broadcastShape } from "../graph/shapes.ts";

/** ONNX Runtime's arithmetic and comparisons know no bool. */
export const numeric = (graph: GraphBuilder, value: Value): Value =>
  value.dtype === "bool" || value.dtype === "uint8" ? graph.cast(value, "int32") : value;

export const floating = (graph: GraphBuilder, value: Value): Value => graph.cast(value, "float32");

/** An operator of two operands, broadcast, whose result has the first one's type. */
export function pair(graph: GraphBuilder, op: string, a: Value, b: Value): Value {
  const shape = broadcastShape(a.shape, b.shape);
  return graph.emit(op, [a, b], { shape, dtype: a.dtype });
}

/** An operator whose result has its operand's shape and type. */
export const same = (graph: GraphBuilder, op: string, x: Value, attributes: Attributes = {}): Value =>
  graph.emit(op, [x], { shape: x.shape, dtype: x.dtype }, { attributes });

export const compare = (graph: GraphBuilder, op: string, a: Value, b: Value): Value =>
  graph.emit(op, [a, b], { shape: broadcastShape(a.shape, b.shape), dtype: "bool" });

export function select(graph: GraphBuilder, condition: Value, yes: Value, no: Value): Value {
  const shape = broadcastShape(condition.shape, broadcastShape(yes.shape, no.shape));
  // ONNX Runtime's Where knows no bool.
  if (yes.dtype === "bool") {
    const chosen = graph.emit("Where", [condition, numeric(graph, yes), numeric(graph, no)], {
      shape,
      dtype: "int32",
    });
    return graph.cast(chosen, "bool");
  }
  return graph.emit("Where", [condition, yes, no], { shape, dtype: yes.dtype });
}

export function clip(graph: GraphBuilder, x: Value, low: number, high: number): Value {
  const bounds = [graph.scalar(low, x.dtype), graph.scalar(high, x.dtype)];
  return graph.emit("Clip", [x, ...bounds], { shape: x.shape, dtype: x.dtype });
}

export function transpose(graph: GraphBuilder, x: Value, permutation: readonly number[]): Value {
  if (permutation.every((from, to) => from === to)) return x;
  const shape = permutation.map((axis) => x.shape[axis] ?? 1);
  return graph.emit("Transpose", [x], { shape, dtype: x.dtype }, { attributes: { perm: ints(permutation) } });
}

/** What follows a product when TF.js fuses them. */
export interface Activation {
  readonly activation: string;
  readonly leakyreluAlpha?: number | undefined;
}

/**
 * @param weights of a parametric ReLU, broadcast
 * @throws engine.unsupported-op
 */
export function activate(
  graph: GraphBuilder,
  x: Value,
  { activation, leakyreluAlpha = 0.2 }: Activation,
  weights: Value | null,
): Value {
  const negative = (slope: Value): Value =>
    select(graph, compare(graph, "Less", x, graph.scalar(0)), pair(graph, "Mul", x, slope), x);
  switch (activation) {
    case "linear":
      return x;
    case "relu":
      return same(graph, "Relu", x);
    case "relu6":
      return clip(graph, x, 0, 6);
    case "sigmoid":
      return same(graph, "Sigmoid", x);
    case "elu":
      return same(graph, "Elu", x);
    case "leakyrelu":
      return negative(graph.scalar(leakyreluAlpha));
    case "prelu":
      if (weights !== null) return negative(weights);
  }
  throw new ConsiliumError("engine.unsupported-op", {
    detail: `(activation ${activation} in a fused product: apply it as an operation of its own)`,
    culprits: [activation],
  });
}

/**
 * TF.js' dtype as the graph's.
 * @throws engine.unsupported-op for strings and complex numbers, which have no place in a step
 */
export function tracedDtype(dtype: string): Dtype {
  switch (dtype) {
    case "float32":
    case "int32":
    case "bool":
      return dtype;
    case "complex64":
      throw refusal(dtype, "keep real and imaginary parts as two tensors");
    default:
      throw refusal(dtype, "turn them into numbers before the step");
  }
}

const refusal = (dtype: string, wayOut: string): ConsiliumError =>
  new ConsiliumError("engine.unsupported-op", {
    detail: `(${dtype} tensors: ${wayOut})`,
    culprits: [dtype],
  });
