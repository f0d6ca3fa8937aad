/** Gradients of convolutions with respect to the filter, and all gradients of dilated ones. */
import * as tf from "@tensorflow/tfjs-core";
import { composition, padAxis, sliceAxis, type Composition, type Tensors } from "./composition.ts";
import { isChannelsFirst, reach, windowsOf, type Window, type WindowAttributes } from "./window.ts";

/** From this many channels on, one product per tap beats a convolution with a filter as large as the image. */
const MANY_CHANNELS = 16;
/** More taps than this would be as many nodes of the graph. */
const MANY_TAPS = 64;

const axesOf = (windows: readonly Window[]): number[] => windows.map((_, i) => i + 1);

/** Exactly the elements that the windows reach, padding included. */
const cropToReach = (x: tf.Tensor, windows: readonly Window[]): tf.Tensor =>
  windows.reduce((cut, { before, after }, i) => padAxis(cut, i + 1, before, after), x);

/** Every combination of one tap per axis, the last axis fastest. */
const combinations = (windows: readonly Window[]): number[][] =>
  windows.reduce<number[][]>(
    (heads, { size }) => heads.flatMap((head) => Array.from({ length: size }, (_, tap) => [...head, tap])),
    [[]],
  );

/** For each combination of taps what they meet, [N, outputs.., C]. */
const metByTaps = (x: tf.Tensor, windows: readonly Window[]): tf.Tensor[] => {
  const padded = cropToReach(x, windows);
  return combinations(windows).map((tap) =>
    windows.reduce(
      (met, { output, stride, dilation }, i) =>
        sliceAxis(met, i + 1, (tap[i] ?? 0) * dilation, output, stride),
      padded,
    ),
  );
};

type Convolve = (x: tf.Tensor, filter: tf.Tensor, strides: number[], dilations: number[]) => tf.Tensor;

const convolve: Convolve = (x, filter, strides, dilations) =>
  strides.length === 2
    ? tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, strides as Pair, "valid", "NHWC", dilations as Pair)
    : tf.conv3d(
        x as tf.Tensor5D,
        filter as tf.Tensor5D,
        strides as Triple,
        "valid",
        "NDHWC",
        dilations as Triple,
      );

type Pair = [number, number];
type Triple = [number, number, number];

/**
 * @param x [N, inputs.., I]; dy [N, outputs.., O]
 * @returns [taps.., I, O]
 */
export function filterGradient(x: tf.Tensor, dy: tf.Tensor, windows: readonly Window[]): tf.Tensor {
  const [inChannels = 1, outChannels = 1] = [x.shape.at(-1), dy.shape.at(-1)];
  const sizes = windows.map(({ size }) => size);
  if (inChannels >= MANY_CHANNELS && tf.util.sizeFromShape(sizes) <= MANY_TAPS) {
    const rows = tf.reshape(dy, [-1, outChannels]);
    const products = metByTaps(x, windows).map((met) =>
      tf.matMul(tf.reshape(met, [-1, inChannels]), rows, true, false),
    );
    return tf.reshape(tf.stack(products), [...sizes, inChannels, outChannels]);
  }
  // A convolution too: of x with the filter dy, channels and images exchanged, stride and dilation exchanged.
  const axes = axesOf(windows);
  const last = windows.length + 1;
  const images = tf.transpose(cropToReach(x, windows), [last, ...axes, 0]);
  const filter = tf.transpose(dy, [...axes, 0, last]);
  const strides = windows.map(({ dilation }) => dilation);
  const dilations = windows.map(({ stride }) => stride);
  return tf.transpose(convolve(images, filter, strides, dilations), [...axes, 0, last]);
}

/** The filter with its taps in reverse order. */
const turned = (filter: tf.Tensor, windows: readonly Window[]): tf.Tensor =>
  tf.reverse(
    filter,
    windows.map((_, i) => i),
  );

/** Padding under which a convolution of dy with the turned filter gives one element per element of x. */
const surround = (dy: tf.Tensor, windows: readonly Window[]): tf.Tensor =>
  windows.reduce((padded, window, i) => {
    const { before, input, output } = window;
    const front = reach(window) - 1 - before;
    // Without a stride the padded dy has input + reach - 1 elements.
    return padAxis(padded, i + 1, front, input + reach(window) - 1 - output - front);
  }, dy);

const dilationsOf = (windows: readonly Window[]): number[] => windows.map(({ dilation }) => dilation);

/**
 * For strides of 1, whatever the dilation: TF.js' own kernels for this ignore dilations.
 * @param filter [taps.., I, O]; dy [N, outputs.., O]
 * @returns [N, inputs.., I]
 */
export function inputGradient(dy: tf.Tensor, filter: tf.Tensor, windows: readonly Window[]): tf.Tensor {
  const rank = windows.length;
  const taps = windows.map((_, i) => i);
  const exchanged = tf.transpose(turned(filter, windows), [...taps, rank + 1, rank]);
  const ones = windows.map(() => 1);
  return convolve(surround(dy, windows), exchanged, ones, dilationsOf(windows));
}

/** The same for a depthwise convolution: filter [rows, columns, C, M], dy [N, .., C M]. */
export function depthwiseInputGradient(
  dy: tf.Tensor,
  filter: tf.Tensor,
  windows: readonly Window[],
): tf.Tensor {
  const [rows = 1, columns = 1, channels = 1, multiplier = 1] = filter.shape;
  const flat = tf.reshape(turned(filter, windows), [rows, columns, channels * multiplier, 1]);
  const each = tf.depthwiseConv2d(
    surround(dy, windows) as tf.Tensor4D,
    flat as tf.Tensor4D,
    1,
    "valid",
    "NHWC",
    dilationsOf(windows) as Pair,
  );
  const [batch, height, width] = each.shape;
  return tf.sum(tf.reshape(each, [batch, height, width, channels, multiplier]), -1);
}

/**
 * @param x [N, inputs.., C]; dy [N, outputs.., C M]
 * @returns [taps.., C, M]
 */
export function depthwiseFilterGradient(x: tf.Tensor, dy: tf.Tensor, windows: readonly Window[]): tf.Tensor {
  const channels = x.shape.at(-1) ?? 1;
  const multiplier = (dy.shape.at(-1) ?? 1) / channels;
  const [batch = 1, height = 1, width = 1] = dy.shape;
  const grouped = tf.reshape(dy, [batch, height, width, channels, multiplier]);
  const sums = metByTaps(x, windows).map((met) => tf.sum(tf.mul(tf.expandDims(met, -1), grouped), [0, 1, 2]));
  return tf.reshape(tf.stack(sums), [...windows.map(({ size }) => size), channels, multiplier]);
}

interface FilterAttributes extends WindowAttributes {
  readonly filterShape: readonly number[];
}

const channelsLast = (x: tf.Tensor, attributes: WindowAttributes): tf.Tensor =>
  isChannelsFirst(attributes) ? tf.transpose(x, [0, 2, 3, 1]) : x;

const toFilter = (name: string, gradient: typeof filterGradient): Composition =>
  composition(name, [], ({ x, dy }: Tensors<"x" | "dy">, attributes: FilterAttributes) => {
    const windows = windowsOf(x.shape, attributes.filterShape.slice(0, -2), attributes);
    return gradient(channelsLast(x, attributes), channelsLast(dy, attributes), windows);
  });

export const convolutionCompositions: readonly Composition[] = [
  toFilter(tf.Conv2DBackpropFilter, filterGradient),
  toFilter(tf.Conv3DBackpropFilterV2, filterGradient),
  toFilter(tf.DepthwiseConv2dNativeBackpropFilter, depthwiseFilterGradient),
];
