/**
 * How a convolution or pooling window moves along one axis. All of a layer's axes are independent, so kernels and
 * gradients of two and three dimensions are written once, over a list of these.
 */
import * as tf from "@tensorflow/tfjs-core";

export interface Window {
  /** Elements of the input and of the output along the axis. */
  readonly input: number;
  readonly output: number;
  /** Taps: elements that the window looks at, `dilation` apart. */
  readonly size: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding before the first element. */
  readonly before: number;
  /** Padding after the last element that the last window needs; negative: elements that no window reaches. */
  readonly after: number;
}

/** What TF.js' convolutions have in common. */
export interface WindowAttributes {
  readonly strides: number | readonly number[];
  readonly pad: "valid" | "same" | number | tf.backend_util.ExplicitPadding;
  readonly dilations?: number | readonly number[] | undefined;
  readonly dimRoundingMode?: "floor" | "round" | "ceil" | undefined;
  readonly dataFormat?: string | undefined;
}

const spread = (value: number | readonly number[] | undefined, rank: number): number[] =>
  value === undefined || typeof value === "number"
    ? Array.from({ length: rank }, () => value ?? 1)
    : // TF.js lets one number in a list stand for all.
      Array.from({ length: rank }, (_, axis) => value[axis] ?? value[0] ?? 1);

/** Elements from a window's first tap to its last. */
export const reach = ({ size, dilation }: Pick<Window, "size" | "dilation">): number =>
  (size - 1) * dilation + 1;

/**
 * @param shape of the input, batch and channels included
 * @param taps of the window along each of the axes between them
 */
export function windowsOf(
  shape: readonly number[],
  taps: readonly number[],
  attributes: WindowAttributes,
): Window[] {
  const strides = spread(attributes.strides, taps.length);
  const dilations = spread(attributes.dilations, taps.length);
  const first = isChannelsFirst(attributes) ? 2 : 1;
  const moves = taps.map((size, i) => ({
    input: shape[first + i] ?? 1,
    size,
    stride: strides[i] ?? 1,
    dilation: dilations[i] ?? 1,
  }));
  return moves.map((move, i) => {
    // With one number as padding TF.js counts both axes of a plane by the height and stride of the first.
    const counted = typeof attributes.pad === "number" && taps.length === 2 ? moves[0] : move;
    const { before, output } = place(move, counted ?? move, attributes, first + i);
    const after = (output - 1) * move.stride + reach(move) - move.input - before;
    return { ...move, before, output, after };
  });
}

export const isChannelsFirst = ({ dataFormat = "" }: Pick<WindowAttributes, "dataFormat">): boolean =>
  dataFormat.startsWith("NC");

type Move = Pick<Window, "input" | "size" | "stride" | "dilation">;

/** TF.js' rules for the first padding and the length of the output (tfjs-core, ops/conv_util.ts). */
function place(
  move: Move,
  counted: Move,
  { pad, dimRoundingMode }: WindowAttributes,
  axis: number,
): { before: number; output: number } {
  const { input, stride } = move;
  if (pad === "same") {
    const output = Math.ceil(input / stride);
    const missing = Math.max(0, (output - 1) * stride + reach(move) - input);
    return { before: Math.floor(missing / 2), output };
  }
  const [before, behind] = typeof pad === "object" ? (pad[axis] ?? [0, 0]) : pad === "valid" ? [0, 0] : [pad, pad]; // prettier-ignore
  const steps = (input - reach(counted) + before + behind) / counted.stride;
  return { before, output: Math[dimRoundingMode ?? "floor"](steps + 1) };
}
