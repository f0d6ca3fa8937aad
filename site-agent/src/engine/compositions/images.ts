/** Resizing, mirroring, and moving pixels between space, depth and batch. */
import { ConsiliumError } from "@consilium/shared/errors";
import * as tf from "@tensorflow/tfjs-core";
import {
  composition,
  oneHotRows,
  padAxis,
  sliceAxis,
  type Composition,
  type Tensors,
} from "./composition.ts";

interface ResizeAttributes {
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
  /** Rows and columns of the result. */
  readonly size: readonly number[];
}

/** How many input pixels a step of one output pixel is. */
const pitch = (from: number, to: number, alignCorners: boolean): number =>
  alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to;

/** Weights [to, from] of bilinear interpolation along one axis, as TF.js' CPU backend computes them. */
function bilinearWeights(from: number, to: number, attributes: ResizeAttributes): tf.Tensor {
  const weights = new Float32Array(to * from);
  const step = pitch(from, to, attributes.alignCorners);
  for (let row = 0; row < to; row++) {
    const source = attributes.halfPixelCenters ? step * (row + 0.5) - 0.5 : step * row;
    const floor = Math.max(0, Math.floor(source));
    const ceil = Math.min(from - 1, Math.ceil(source));
    const fraction = source - floor;
    const [left, right] = [row * from + floor, row * from + ceil];
    weights[left] = (weights[left] ?? 0) + 1 - fraction;
    weights[right] = (weights[right] ?? 0) + fraction;
  }
  return tf.tensor(weights, [1, to, from]);
}

/** The input pixel nearest to each output pixel, as TF.js' CPU backend finds it. */
function nearest(from: number, to: number, attributes: ResizeAttributes): tf.Tensor {
  const step = pitch(from, to, attributes.alignCorners);
  const indices = Int32Array.from({ length: to }, (_, i) => {
    const source = step * (attributes.halfPixelCenters ? i + 0.5 : i);
    const index = attributes.alignCorners ? Math.round(source) : Math.floor(source);
    return Math.max(0, Math.min(from - 1, index));
  });
  return tf.tensor(indices, [to], "int32");
}

/** Two products, one along each axis. */
function resizeBilinear(images: tf.Tensor, attributes: ResizeAttributes): tf.Tensor {
  const [batch = 1, rows = 1, columns = 1, channels = 1] = images.shape;
  const [toRows = 1, toColumns = 1] = attributes.size;
  const lines = tf.reshape(tf.cast(images, "float32"), [batch * rows, columns, channels]);
  const wide = tf.matMul(bilinearWeights(columns, toColumns, attributes), lines);
  const planes = tf.reshape(wide, [batch, rows, toColumns * channels]);
  const tall = tf.matMul(bilinearWeights(rows, toRows, attributes), planes);
  return tf.reshape(tall, [batch, toRows, toColumns, channels]);
}

function resizeNearest(images: tf.Tensor, attributes: ResizeAttributes): tf.Tensor {
  const [, rows = 1, columns = 1] = images.shape;
  const [toRows = 1, toColumns = 1] = attributes.size;
  const wide = tf.gather(images, nearest(columns, toColumns, attributes), 2);
  return tf.gather(wide, nearest(rows, toRows, attributes), 1);
}

type AxisWeights = typeof bilinearWeights;

const nearestWeights: AxisWeights = (from, to, attributes) =>
  tf.expandDims(oneHotRows(nearest(from, to, attributes), from), 0);

/** Resizing is linear: its gradient is a product with the transposed weights along each axis. */
const resizeGradient = (name: string, weights: AxisWeights): Composition =>
  composition(
    name,
    [],
    ({ dy, images }: Tensors<"dy" | "images">, options: Omit<ResizeAttributes, "size">) => {
      const [batch = 1, rows = 1, columns = 1, channels = 1] = images.shape;
      const [, toRows = 1, toColumns = 1] = dy.shape;
      const attributes = { ...options, size: [toRows, toColumns] };
      const planes = tf.reshape(dy, [batch, toRows, toColumns * channels]);
      const short = tf.matMul(weights(rows, toRows, attributes), planes, true, false);
      const lines = tf.reshape(short, [batch * rows, toColumns, channels]);
      const narrow = tf.matMul(weights(columns, toColumns, attributes), lines, true, false);
      return tf.reshape(narrow, [batch, rows, columns, channels]);
    },
  );

type Borders = readonly (readonly [before: number, after: number])[];

interface MirrorAttributes {
  readonly paddings: Borders;
  readonly mode: "reflect" | "symmetric";
}

/** `reflect` does not repeat the border, `symmetric` does. */
function mirrorPad(x: tf.Tensor, { paddings, mode }: MirrorAttributes): tf.Tensor {
  const skipped = mode === "reflect" ? 1 : 0;
  return paddings.reduce((padded, [before, after], axis) => {
    const length = padded.shape[axis] ?? 0;
    const mirrored = (start: number, count: number): tf.Tensor[] =>
      count === 0 ? [] : [tf.reverse(sliceAxis(padded, axis, start, count), axis)];
    const parts = [...mirrored(skipped, before), padded, ...mirrored(length - skipped - after, after)];
    return parts.length === 1 ? padded : tf.concat(parts, axis);
  }, x);
}

interface SpaceToBatchAttributes {
  readonly blockShape: readonly number[];
  readonly paddings: Borders;
}

interface BatchToSpaceAttributes {
  readonly blockShape: readonly number[];
  readonly crops: Borders;
}

/** [N, a, b, ..] becomes [blocks N, a / block, b / block, ..]. */
function spaceToBatch(x: tf.Tensor, { blockShape, paddings }: SpaceToBatchAttributes): tf.Tensor {
  const padded = paddings.reduce((y, [before, after], i) => padAxis(y, i + 1, before, after), x);
  const [batch = 1, ...lengths] = padded.shape;
  const spatial = blockShape.length;
  const rest = lengths.slice(spatial);
  const cells = blockShape.map((block, i) => (lengths[i] ?? 0) / block);
  const split = tf.reshape(padded, [batch, ...blockShape.flatMap((block, i) => [cells[i] ?? 0, block]), ...rest]); // prettier-ignore
  const within = blockShape.map((_, i) => 2 * i + 2);
  const between = blockShape.map((_, i) => 2 * i + 1);
  const others = rest.map((_, i) => 2 * spatial + 1 + i);
  const moved = tf.transpose(split, [...within, 0, ...between, ...others]);
  const blocks = blockShape.reduce((product, block) => product * block, 1);
  return tf.reshape(moved, [blocks * batch, ...cells, ...rest]);
}

function batchToSpace(x: tf.Tensor, { blockShape, crops }: BatchToSpaceAttributes): tf.Tensor {
  const [images = 1, ...lengths] = x.shape;
  const spatial = blockShape.length;
  const blocks = blockShape.reduce((product, block) => product * block, 1);
  const rest = lengths.slice(spatial);
  const split = tf.reshape(x, [...blockShape, images / blocks, ...lengths]);
  const woven = blockShape.flatMap((_, i) => [spatial + 1 + i, i]);
  const others = rest.map((_, i) => 2 * spatial + 1 + i);
  const moved = tf.transpose(split, [spatial, ...woven, ...others]);
  const whole = blockShape.map((block, i) => block * (lengths[i] ?? 0));
  const joined = tf.reshape(moved, [images / blocks, ...whole, ...rest]);
  return crops.reduce((y, [before, after], i) => padAxis(y, i + 1, -before, -after), joined);
}

interface DepthAttributes {
  readonly blockSize: number;
  readonly dataFormat: "NHWC" | "NCHW";
}

/** [N, H, W, b b C] becomes [N, b H, b W, C]. */
function depthToSpace(x: tf.Tensor, { blockSize: b, dataFormat }: DepthAttributes): tf.Tensor {
  if (dataFormat !== "NHWC") {
    throw new ConsiliumError("engine.unsupported-op", {
      detail: `(DepthToSpace of ${dataFormat}: transpose to NHWC first)`,
      culprits: [tf.DepthToSpace],
    });
  }
  const [batch = 1, rows = 1, columns = 1, depth = 1] = x.shape;
  const channels = depth / b ** 2;
  const split = tf.reshape(x, [batch, rows, columns, b, b, channels]);
  const moved = tf.transpose(split, [0, 1, 3, 2, 4, 5]);
  return tf.reshape(moved, [batch, rows * b, columns * b, channels]);
}

/** The gradients of these are those of the operations they are written in. */
export const imageCompositions: readonly Composition[] = [
  composition(tf.ResizeBilinear, ["images"], ({ images }: Tensors<"images">, attributes: ResizeAttributes) =>
    resizeBilinear(images, attributes),
  ),
  composition(
    tf.ResizeNearestNeighbor,
    ["images"],
    ({ images }: Tensors<"images">, attributes: ResizeAttributes) => resizeNearest(images, attributes),
  ),
  composition(tf.FlipLeftRight, ["image"], ({ image }: Tensors<"image">) => tf.reverse(image, 2)),
  composition(tf.MirrorPad, ["x"], ({ x }: Tensors<"x">, attributes: MirrorAttributes) =>
    mirrorPad(x, attributes),
  ),
  composition(tf.SpaceToBatchND, ["x"], ({ x }: Tensors<"x">, attributes: SpaceToBatchAttributes) =>
    spaceToBatch(x, attributes),
  ),
  composition(tf.BatchToSpaceND, ["x"], ({ x }: Tensors<"x">, attributes: BatchToSpaceAttributes) =>
    batchToSpace(x, attributes),
  ),
  composition(tf.DepthToSpace, ["x"], ({ x }: Tensors<"x">, attributes: DepthAttributes) =>
    depthToSpace(x, attributes),
  ),
];

export const imageGradientCompositions: readonly Composition[] = [
  resizeGradient(tf.ResizeBilinearGrad, bilinearWeights),
  resizeGradient(tf.ResizeNearestNeighborGrad, nearestWeights),
];
