/** Operators that move elements, on types and in numbers that WebGPU's kernels do not take. */
import { intAttribute, int, type Node, type Value } from "../ir.ts";
import type { Rule, RewriteContext } from "../passes/rewrite.ts";
import { positiveAxis } from "../shapes.ts";

/** A shader binds its operand and its results, and WebGPU promises no more than eight buffers to bind. */
const MOST_PARTS = 7;

/** Bytes and bools are no elements of a WebGPU buffer; as float32 they keep every value. */
const throughFloat: Rule = (node, { graph }) => {
  if (!node.outputs.every(({ dtype }) => dtype === "bool" || dtype === "uint8")) return null;
  const inputs = node.inputs.map((input) =>
    input.dtype === "bool" || input.dtype === "uint8" ? graph.cast(input, "float32") : input,
  );
  const outputs = node.outputs.map(({ shape }) => ({ shape, dtype: "float32" }) as const);
  const moved = graph.emitMany(node.op, inputs, outputs, node);
  return node.outputs.map(({ dtype }, i) => graph.cast(required(moved, i), dtype));
};

export const moveRules: Readonly<Record<string, Rule>> = {
  Transpose: throughFloat,
  Concat: throughFloat,
  Tile: throughFloat,
  Pad: throughFloat,
  GatherND: throughFloat,
  Split: (node, context) =>
    node.outputs.length > MOST_PARTS ? slices(node, context) : throughFloat(node, context),
  Slice: (node, context) =>
    node.outputs[0]?.dtype === "int32" ? gathers(node, context) : throughFloat(node, context),
};

/** Cuts each part out by itself. */
function slices(node: Node, context: RewriteContext): readonly Value[] {
  const whole = required(node.inputs, 0);
  const axis = positiveAxis(intAttribute(node, "axis", 0), whole.shape.length);
  const { graph } = context;
  let start = 0;
  return node.outputs.map((part) => {
    const stop = start + (part.shape[axis] ?? 0);
    const bounds = [graph.indices([start]), graph.indices([stop]), graph.indices([axis])];
    start = stop;
    return graph.emit("Slice", [whole, ...bounds], part);
  });
}

/** A slice of integers: there is a kernel that gathers them. */
function gathers(node: Node, { graph }: RewriteContext): readonly Value[] | null {
  const [whole, ...bounds] = node.inputs;
  const [output] = node.outputs;
  const [starts, , axes, steps] = bounds.map((bound) => graph.constantOf(bound));
  if (whole === undefined || output === undefined || !starts || !axes) return null;
  let current = whole;
  for (const [i, axis] of axes.entries()) {
    const length = whole.shape[axis] ?? 0;
    const start = starts[i] ?? 0;
    const step = steps?.[i] ?? 1;
    // ONNX: a start beyond the ends is the end.
    const first = Math.min(Math.max(start < 0 ? start + length : start, 0), step < 0 ? length - 1 : length);
    const count = output.shape[axis] ?? 0;
    if (first === 0 && step === 1 && count === length) continue;
    const picked = graph.indices(Array.from({ length: count }, (_, k) => first + k * step));
    const shape = current.shape.map((old, along) => (along === axis ? count : old));
    current = graph.emit(
      "Gather",
      [current, picked],
      { shape, dtype: whole.dtype },
      { attributes: { axis: int(axis) } },
    );
  }
  return [current];
}

function required(values: readonly Value[], index: number): Value {
  const value = values[index];
  if (value === undefined) throw new RangeError("a move without its operand");
  return value;
}
