/** Convolutions and pooling. TF.js keeps channels last, ONNX puts them second. */
import * as tf from "@tensorflow/tfjs-core";
import { isChannelsFirst, windowsOf, type Window, type WindowAttributes } from "../compositions/window.ts";
import { poolWindows, type PoolAttributes } from "../compositions/pooling.ts";
import type { GraphBuilder } from "../graph/builder.ts";
import { int, ints, type Attributes, type Value } from "../graph/ir.ts";
import { activate, floating, pair, transpose, type Activation } from "./emit.ts";
import { kernel, type FusedInputs, type Inputs, type TracedKernel } from "./kernel.ts";

/** [N, .., C] as [N, C, ..]. */
const channelsSecond = (graph: GraphBuilder, x: Value): Value => {
  const rank = x.shape.length;
  return transpose(graph, x, [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)]);
};

/** [N, C, ..] as [N, .., C]. */
const channelsLast = (graph: GraphBuilder, x: Value): Value => {
  const rank = x.shape.length;
  return transpose(graph, x, [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1]);
};

const padsOf = (windows: readonly Window[]): number[] => [
  ...windows.map(({ before }) => before),
  ...windows.map(({ after }) => Math.max(0, after)),
];

const movesOf = (windows: readonly Window[]): Attributes => ({
  kernel_shape: ints(windows.map(({ size }) => size)),
  strides: ints(windows.map(({ stride }) => stride)),
  dilations: ints(windows.map(({ dilation }) => dilation)),
  pads: ints(padsOf(windows)),
});

/** A filter as ONNX wants it, and into how many groups it splits the channels. */
interface OnnxFilter {
  readonly value: Value;
  readonly groups: number;
  readonly outChannels: number;
}

/** [taps.., I, O] as [O, I, taps..]. */
function plainFilter(graph: GraphBuilder, filter: Value): OnnxFilter {
  const taps = filter.shape.length - 2;
  const order = [taps + 1, taps, ...Array.from({ length: taps }, (_, i) => i)];
  return { value: transpose(graph, filter, order), groups: 1, outChannels: filter.shape.at(-1) ?? 1 };
}

/** [rows, columns, C, M] as [C M, 1, rows, columns]: channel c feeds the M outputs from c M on. */
function depthwiseFilter(graph: GraphBuilder, filter: Value): OnnxFilter {
  const [rows = 1, columns = 1, channels = 1, multiplier = 1] = filter.shape;
  const outChannels = channels * multiplier;
  const value = graph.reshape(transpose(graph, filter, [2, 3, 0, 1]), [outChannels, 1, rows, columns]);
  return { value, groups: channels, outChannels };
}

/** @param x [N, C, ..] */
function convolve(
  graph: GraphBuilder,
  x: Value,
  filter: OnnxFilter,
  windows: readonly Window[],
  bias: Value | null = null,
): Value {
  const shape = [x.shape[0] ?? 1, filter.outChannels, ...windows.map(({ output }) => output)];
  const inputs = bias === null ? [x, filter.value] : [x, filter.value, bias];
  const attributes = { ...movesOf(windows), group: int(filter.groups) };
  return graph.emit("Conv", inputs, { shape, dtype: "float32" }, { attributes });
}

/**
 * The gradient of a convolution with respect to its input, which is also what is called a transposed convolution.
 * @param dy [N, C, ..]
 */
function convolveBack(
  graph: GraphBuilder,
  dy: Value,
  filter: OnnxFilter,
  windows: readonly Window[],
  inChannels: number,
): Value {
  const shape = [dy.shape[0] ?? 1, inChannels, ...windows.map(({ input }) => input)];
  const attributes = {
    ...movesOf(windows),
    group: int(filter.groups),
    // Elements that no window reached.
    output_padding: ints(windows.map(({ after }) => Math.max(0, -after))),
  };
  return graph.emit("ConvTranspose", [dy, filter.value], { shape, dtype: "float32" }, { attributes });
}

type ToOnnxFilter = typeof plainFilter;

const forward = (name: string, toOnnx: ToOnnxFilter): TracedKernel =>
  kernel(name, (graph, { x, filter }: Inputs<"x" | "filter">, attributes: WindowAttributes) => {
    const windows = windowsOf(x.shape, filter.shape.slice(0, -2), attributes);
    const [weights, input] = [toOnnx(graph, floating(graph, filter)), floating(graph, x)];
    if (isChannelsFirst(attributes)) return convolve(graph, input, weights, windows);
    return channelsLast(graph, convolve(graph, channelsSecond(graph, input), weights, windows));
  });

interface InputAttributes extends WindowAttributes {
  readonly inputShape: readonly number[];
}

const backward = (name: string, toOnnx: ToOnnxFilter): TracedKernel =>
  kernel(name, (graph, { dy, filter }: Inputs<"dy" | "filter">, attributes: InputAttributes) => {
    const { inputShape } = attributes;
    const windows = windowsOf(inputShape, filter.shape.slice(0, -2), attributes);
    const weights = toOnnx(graph, filter);
    if (isChannelsFirst(attributes)) {
      return convolveBack(graph, dy, weights, windows, inputShape[1] ?? 1);
    }
    const gradient = channelsSecond(graph, dy);
    return channelsLast(graph, convolveBack(graph, gradient, weights, windows, inputShape.at(-1) ?? 1));
  });

type FusedAttributes = WindowAttributes & Activation;

const fused = (name: string, toOnnx: ToOnnxFilter): TracedKernel =>
  kernel(name, (graph, inputs: FusedInputs<"x" | "filter">, attributes: FusedAttributes) => {
    const { x, filter, bias = null, preluActivationWeights = null } = inputs;
    const windows = windowsOf(x.shape, filter.shape.slice(0, -2), attributes);
    const weights = toOnnx(graph, filter);
    const perChannel = bias?.shape.length === 1 && bias.shape[0] === weights.outChannels ? bias : null;
    const first = isChannelsFirst(attributes);
    const input = first ? x : channelsSecond(graph, x);
    const product = convolve(graph, input, weights, windows, perChannel);
    const y = first ? product : channelsLast(graph, product);
    const biased = bias === null || perChannel !== null ? y : pair(graph, "Add", y, bias);
    return activate(graph, biased, attributes, alongChannels(graph, preluActivationWeights, first));
  });

/** TF.js lines one weight per channel up with the channels, wherever they are. */
function alongChannels(graph: GraphBuilder, weights: Value | null, channelsAreFirst: boolean): Value | null {
  if (weights?.shape.length !== 1 || !channelsAreFirst) return weights;
  return graph.reshape(weights, [weights.shape[0] ?? 1, 1, 1]);
}

const pool = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">, attributes: PoolAttributes) => {
    const windows = poolWindows(x.shape, attributes);
    const input = channelsSecond(graph, floating(graph, x));
    const shape = [...input.shape.slice(0, 2), ...windows.map(({ output }) => output)];
    const attributesOfMoves = { attributes: movesOf(windows) };
    const pooled = graph.emit(op, [input], { shape, dtype: "float32" }, attributesOfMoves);
    return graph.cast(channelsLast(graph, pooled), x.dtype);
  });

export const convolutionKernels: readonly TracedKernel[] = [
  forward(tf.Conv2D, plainFilter),
  forward(tf.Conv3D, plainFilter),
  forward(tf.DepthwiseConv2dNative, depthwiseFilter),
  backward(tf.Conv2DBackpropInput, plainFilter),
  backward(tf.Conv3DBackpropInputV2, plainFilter),
  backward(tf.DepthwiseConv2dNativeBackpropInput, depthwiseFilter),
  fused(tf.FusedConv2D, plainFilter),
  fused(tf.FusedDepthwiseConv2D, depthwiseFilter),
  pool(tf.MaxPool, "MaxPool"),
  pool(tf.MaxPool3D, "MaxPool"),
  pool(tf.AvgPool, "AveragePool"),
  pool(tf.AvgPool3D, "AveragePool"),
];
