/** Kernels that move elements without computing: reshape, transpose, concat, slice, pad and their kin. */
import * as tf from "@tensorflow/tfjs-core";
import type { GraphBuilder } from "../graph/builder.ts";
import { int, sizeOf, type Value } from "../graph/ir.ts";
import { positiveAxis, withLength } from "../graph/shapes.ts";
import { transpose } from "./emit.ts";
import { kernel, type Inputs, type TracedKernel } from "./kernel.ts";

/** @param starts,stops,steps one entry per axis */
export function slice(
  graph: GraphBuilder,
  x: Value,
  starts: readonly number[],
  stops: readonly number[],
  steps: readonly number[] | null,
  shape: readonly number[],
): Value {
  if (x.shape.length === 0) return x;
  const axes = graph.indices(x.shape.map((_, axis) => axis));
  const inputs = [x, graph.indices(starts), graph.indices(stops), axes];
  if (steps !== null) inputs.push(graph.indices(steps));
  return graph.emit("Slice", inputs, { shape, dtype: x.dtype });
}

function concat(graph: GraphBuilder, parts: readonly Value[], axis: number): Value {
  const [first] = parts;
  if (first === undefined) throw new RangeError("concat of nothing");
  if (parts.length === 1) return first;
  const along = positiveAxis(axis, first.shape.length);
  const total = parts.reduce((sum, part) => sum + (part.shape[along] ?? 0), 0);
  const output = { shape: withLength(first.shape, along, total), dtype: first.dtype };
  return graph.emit("Concat", parts, output, { attributes: { axis: int(along) } });
}

function split(graph: GraphBuilder, x: Value, sizes: readonly number[], axis: number): readonly Value[] {
  if (sizes.length === 1) return [x];
  const outputs = sizes.map((size) => ({ shape: withLength(x.shape, axis, size), dtype: x.dtype }));
  return graph.emitMany("Split", [x, graph.indices(sizes)], outputs, { attributes: { axis: int(axis) } });
}

const reshapeKernels: readonly TracedKernel[] = [
  kernel(tf.Identity, (_, { x }: Inputs<"x">) => x),
  kernel(tf.Reshape, (graph, { x }: Inputs<"x">, { shape }: tf.ReshapeAttrs) =>
    graph.reshape(x, tf.util.inferFromImplicitShape([...shape], sizeOf(x.shape))),
  ),
  kernel(tf.ExpandDims, (graph, { input }: Inputs<"input">, { dim }: tf.ExpandDimsAttrs) => {
    const axis = dim < 0 ? dim + input.shape.length + 1 : dim;
    return graph.reshape(input, [...input.shape.slice(0, axis), 1, ...input.shape.slice(axis)]);
  }),
  kernel(tf.Transpose, (graph, { x }: Inputs<"x">, { perm }: tf.TransposeAttrs) => transpose(graph, x, perm)),
  kernel(tf.Reverse, (graph, { x }: Inputs<"x">, { dims }: tf.ReverseAttrs) => {
    const axes = tf.util.parseAxisParam(dims, [...x.shape]);
    const reversed = x.shape.map((_, axis) => axes.includes(axis));
    // ONNX: a stop before the first element is any number below -length.
    return slice(
      graph,
      x,
      x.shape.map((length, axis) => (reversed[axis] ? length - 1 : 0)),
      x.shape.map((length, axis) => (reversed[axis] ? -length - 1 : length)),
      reversed.map((isReversed) => (isReversed ? -1 : 1)),
      x.shape,
    );
  }),
];

const joinKernels: readonly TracedKernel[] = [
  kernel(tf.Concat, (graph, inputs: Inputs<string>, { axis }: tf.ConcatAttrs) =>
    concat(graph, Object.values(inputs), axis),
  ),
  kernel(tf.Pack, (graph, inputs: Inputs<string>, { axis }: tf.PackAttrs) => {
    const parts = Object.values(inputs);
    const rank = (parts[0]?.shape.length ?? 0) + 1;
    const along = positiveAxis(axis, rank);
    const raised = parts.map((part) =>
      graph.reshape(part, [...part.shape.slice(0, along), 1, ...part.shape.slice(along)]),
    );
    return concat(graph, raised, along);
  }),
  kernel(tf.Unpack, (graph, { value }: Inputs<"value">, { axis }: tf.UnpackAttrs) => {
    const along = positiveAxis(axis, value.shape.length);
    const ones = Array.from({ length: value.shape[along] ?? 0 }, () => 1);
    const shape = value.shape.filter((_, i) => i !== along);
    return split(graph, value, ones, along).map((part) => graph.reshape(part, shape));
  }),
  kernel(tf.SplitV, (graph, { x }: Inputs<"x">, { numOrSizeSplits, axis }: tf.SplitVAttrs) => {
    const along = positiveAxis(axis, x.shape.length);
    return split(graph, x, splitSizes(x.shape[along] ?? 0, numOrSizeSplits), along);
  }),
  kernel(tf.BroadcastTo, (graph, { x }: Inputs<"x">, { shape }: tf.BroadCastToAttrs) =>
    graph.expand(x, shape),
  ),
  kernel(tf.Tile, (graph, { x }: Inputs<"x">, { reps }: tf.TileAttrs) => {
    const shape = x.shape.map((length, axis) => length * (reps[axis] ?? 1));
    // Broadcasting costs less than copying pieces one by one.
    if (x.shape.every((length, axis) => length === 1 || reps[axis] === 1)) return graph.expand(x, shape);
    return graph.emit("Tile", [x, graph.indices(reps)], { shape, dtype: x.dtype });
  }),
];

/** A number of equal parts, or sizes of which one may be -1 for the rest. */
function splitSizes(length: number, sizes: number | readonly number[]): readonly number[] {
  if (typeof sizes === "number") return Array.from({ length: sizes }, () => length / sizes);
  const known = sizes.reduce((sum, size) => (size < 0 ? sum : sum + size), 0);
  return sizes.map((size) => (size < 0 ? length - known : size));
}

/** First element and number of elements per axis; TF.js lets trailing axes be left out and -1 mean the rest. */
function sliceBounds(
  shape: readonly number[],
  begin: number | readonly number[],
  size: number | readonly number[],
): [number[], number[]] {
  const begins = typeof begin === "number" ? [begin] : begin;
  const sizes = typeof size === "number" ? [size] : size;
  const starts = shape.map((_, axis) => begins[axis] ?? 0);
  const lengths = shape.map((length, axis) => {
    const wanted = sizes[axis] ?? -1;
    return wanted < 0 ? length - (starts[axis] ?? 0) : wanted;
  });
  return [starts, lengths];
}

const cutKernels: readonly TracedKernel[] = [
  kernel(tf.Slice, (graph, { x }: Inputs<"x">, { begin, size }: tf.SliceAttrs) => {
    const [starts, shape] = sliceBounds(x.shape, begin, size);
    const stops = starts.map((start, axis) => start + (shape[axis] ?? 0));
    return slice(graph, x, starts, stops, null, shape);
  }),
  kernel(tf.StridedSlice, (graph, { x }: Inputs<"x">, attributes: tf.StridedSliceAttrs) => {
    const plan = tf.slice_util.sliceInfo(
      [...x.shape],
      attributes.begin,
      attributes.end,
      attributes.strides,
      attributes.beginMask,
      attributes.endMask,
      attributes.ellipsisMask,
      attributes.newAxisMask,
      attributes.shrinkAxisMask,
    );
    // Walking backwards, TF.js writes the stop before the first element as -1; ONNX takes that for the last.
    const stops = plan.end.map((stop, axis) =>
      (plan.strides[axis] ?? 1) < 0 && stop < 0 ? -(x.shape[axis] ?? 0) - 1 : stop,
    );
    const lengths = plan.begin.map((start, axis) => {
      const stop = plan.end[axis] ?? 0;
      return Math.max(0, Math.ceil((stop - start) / (plan.strides[axis] ?? 1)));
    });
    const cut = slice(graph, x, plan.begin, stops, plan.strides, lengths);
    return graph.reshape(cut, plan.finalShape);
  }),
  kernel(tf.PadV2, (graph, { x }: Inputs<"x">, { paddings, constantValue }: tf.PadV2Attrs) => {
    const shape = x.shape.map((length, axis) => {
      const [before, after] = paddings[axis] ?? [0, 0];
      return before + length + after;
    });
    const pads = graph.indices([
      ...paddings.map(([before]) => before),
      ...paddings.map(([, after]) => after),
    ]);
    return graph.emit("Pad", [x, pads, graph.scalar(constantValue, x.dtype)], { shape, dtype: x.dtype });
  }),
];

export const shapeKernels: readonly TracedKernel[] = [...reshapeKernels, ...joinKernels, ...cutKernels];
