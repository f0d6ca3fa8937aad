/** Positions: ONNX counts them in int64, which a WebGPU buffer does not hold and no kernel casts. */
import type { GraphBuilder } from "../builder.ts";
import { int, intAttribute, type Value } from "../ir.ts";
import type { Rule } from "../passes/rewrite.ts";
import { positiveAxis, withLength } from "../shapes.ts";

/** float32 counts exactly up to here; no axis is longer. */
const BEYOND = 2 ** 24;

interface Extreme {
  /** [.., 1, ..] */
  readonly value: Value;
  /** The first place of it, as float32. [.., 1, ..] */
  readonly position: Value;
}

function extreme(graph: GraphBuilder, x: Value, axis: number, reduction: "ReduceMax" | "ReduceMin"): Extreme {
  const shape = withLength(x.shape, axis, 1);
  const keep = { attributes: { keepdims: int(1) } };
  const axes = graph.indices([axis]);
  const value = graph.emit(reduction, [x, axes], { shape, dtype: x.dtype }, keep);
  const here = graph.emit("Equal", [x, value], { shape: x.shape, dtype: "bool" });
  const places = graph.emit("Where", [here, counting(graph, x, axis), graph.scalar(BEYOND)], {
    shape: x.shape,
    dtype: "float32",
  });
  const position = graph.emit("ReduceMin", [places, axes], { shape, dtype: "float32" }, keep);
  return { value, position };
}

/** 0, 1, 2, .. along an axis, in a shape that broadcasts to that of x. */
function counting(graph: GraphBuilder, x: Value, axis: number): Value {
  const length = x.shape[axis] ?? 0;
  const shape = x.shape.map((_, along) => (along === axis ? length : 1));
  return graph.constant(
    Float32Array.from({ length }, (_, i) => i),
    { shape, dtype: "float32" },
  );
}

/** In place of int64 the results are int32, which the cast behind them then leaves alone. */
const argument =
  (reduction: "ReduceMax" | "ReduceMin"): Rule =>
  (node, { graph }) => {
    const [x] = node.inputs;
    const [output] = node.outputs;
    if (x === undefined || output === undefined) return null;
    const axis = positiveAxis(intAttribute(node, "axis", 0), x.shape.length);
    const { position } = extreme(graph, graph.cast(x, "float32"), axis, reduction);
    return [graph.reshape(graph.cast(position, "int32"), output.shape)];
  };

export const extremeRules: Readonly<Record<string, Rule>> = {
  ArgMax: argument("ReduceMax"),
  ArgMin: argument("ReduceMin"),

  /** The largest, then the largest of the others, and so on. */
  TopK: (node, { graph }) => {
    const [x] = node.inputs;
    const [values, positions] = node.outputs;
    if (x === undefined || values === undefined || positions === undefined) return null;
    const axis = x.shape.length - 1;
    const found: Extreme[] = [];
    let rest = graph.cast(x, "float32");
    for (let i = 0; i < (values.shape[axis] ?? 0); i++) {
      const largest = extreme(graph, rest, axis, "ReduceMax");
      found.push(largest);
      const taken = graph.emit("Equal", [counting(graph, x, axis), largest.position], {
        shape: x.shape,
        dtype: "bool",
      });
      rest = graph.emit("Where", [taken, graph.scalar(-Infinity), rest], {
        shape: x.shape,
        dtype: "float32",
      });
    }
    const join = (parts: readonly Value[]): Value =>
      graph.emit(
        "Concat",
        parts,
        { shape: values.shape, dtype: "float32" },
        { attributes: { axis: int(axis) } },
      );
    return [
      graph.cast(join(found.map(({ value }) => value)), x.dtype),
      graph.cast(join(found.map(({ position }) => position)), "int32"),
    ];
  },

  Cast: (node) => (node.inputs[0]?.dtype === node.outputs[0]?.dtype ? node.inputs : null),

  LogSoftmax: (node, { graph }) => {
    const [x] = node.inputs;
    if (x === undefined) return null;
    const axis = positiveAxis(intAttribute(node, "axis", -1), x.shape.length);
    const reduced = { shape: withLength(x.shape, axis, 1), dtype: x.dtype };
    const keep = { attributes: { keepdims: int(1) } };
    const axes = graph.indices([axis]);
    const shifted = graph.emit("Sub", [x, graph.emit("ReduceMax", [x, axes], reduced, keep)], x);
    const sum = graph.emit("ReduceSum", [graph.emit("Exp", [shifted], x), axes], reduced, keep);
    return [graph.emit("Sub", [shifted, graph.emit("Log", [sum], reduced)], x)];
  },
};
