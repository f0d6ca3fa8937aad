/** Convolutions of random geometry, plain, transposed, depthwise, dilated and fused. */
import type { Random } from "../../../dataset/random.ts";
import * as tf from "../../tf.ts";
import { uniform, type Case, type TensorFunction } from "../compare.ts";
import { between, flat, pick, smooth, type ContractCase } from "./case.ts";

type Pad = "valid" | "same" | tf.backend_util.ExplicitPadding;

interface Geometry {
  readonly image: [number, number];
  readonly taps: [number, number];
  readonly strides: [number, number];
  readonly dilations: [number, number];
  readonly pad: Pad;
}

/** TF.js wants strides or dilations of 1. */
function geometry(random: Random, dilated: boolean): Geometry {
  const taps: [number, number] = [between(random, 1, 3), between(random, 1, 3)];
  const dilations: [number, number] = dilated ? [2, between(random, 1, 3)] : [1, 1];
  const reach = taps.map((size, axis) => (size - 1) * (dilations[axis] ?? 1) + 1);
  const image: [number, number] = [(reach[0] ?? 1) + random.below(4), (reach[1] ?? 1) + random.below(4)];
  const before = taps.map((size) => random.below(size));
  const after = taps.map((size) => random.below(size));
  const explicit: Pad = [[0, 0], [before[0] ?? 0, after[0] ?? 0], [before[1] ?? 0, after[1] ?? 0], [0, 0]]; // prettier-ignore
  const strides: [number, number] = dilated ? [1, 1] : [between(random, 1, 3), between(random, 1, 3)];
  return { image, taps, strides, dilations, pad: pick(random, ["valid", "same", explicit]) };
}

interface Convolution extends Geometry {
  readonly channels: number;
  readonly outputs: number;
}

type Conv = (x: tf.Tensor4D, filter: tf.Tensor4D, convolution: Convolution) => tf.Tensor;

/** Images [N, H, W, C] and a filter [rows, columns, C, O]. */
function planar(random: Random, dilated: boolean, conv: Conv): Case {
  const convolution = {
    ...geometry(random, dilated),
    channels: between(random, 1, 3),
    outputs: between(random, 1, 3),
  };
  const { image, taps, channels, outputs } = convolution;
  const inputs = [
    uniform(random, [between(random, 1, 2), ...image, channels]),
    uniform(random, [...taps, channels, outputs], -1, 1),
  ];
  return { inputs, run: (x, filter) => conv(x as tf.Tensor4D, filter as tf.Tensor4D, convolution) };
}

const conv2d: Conv = (x, filter, { strides, pad, dilations }) =>
  // Explicit padding that does not fill the last window asks for a rounding.
  tf.conv2d(x, filter, strides, pad, "NHWC", dilations, typeof pad === "object" ? "floor" : undefined);

const depthwise: Conv = (x, filter, { strides, pad, dilations }) =>
  tf.depthwiseConv2d(x, filter, strides, pad, "NHWC", dilations, typeof pad === "object" ? "floor" : undefined); // prettier-ignore

/** Upwards: [N, h, w, O] to the image that a convolution with these options would have had. */
const transposed: ContractCase["build"] = (random) => {
  const { image, taps, strides } = geometry(random, false);
  const pad = pick(random, ["valid", "same"] as const);
  const [channels, outputs, batch] = [between(random, 1, 3), between(random, 1, 2), between(random, 1, 2)];
  const small = image.map((length, axis) => {
    const [size = 1, stride = 1] = [taps[axis], strides[axis]];
    return pad === "same" ? Math.ceil(length / stride) : Math.ceil((length - size + 1) / stride);
  });
  const shape: [number, number, number, number] = [batch, ...image, outputs];
  return {
    inputs: [
      uniform(random, [batch, ...small, channels]),
      uniform(random, [...taps, outputs, channels], -1, 1),
    ],
    run: (x, filter) => tf.conv2dTranspose(x as tf.Tensor4D, filter as tf.Tensor4D, shape, strides, pad),
  };
};

type Triple = [number, number, number];

const volume = (random: Random, dilated: boolean): Case => {
  const taps: Triple = [between(random, 1, 2), between(random, 1, 2), between(random, 1, 3)];
  const dilation = dilated ? 2 : 1;
  const lengths = taps.map((size) => (size - 1) * dilation + 1 + random.below(2));
  const strides: Triple = dilated ? [1, 1, 1] : [between(random, 1, 2), 1, between(random, 1, 2)];
  const pad = pick(random, ["valid", "same"] as const);
  const channels = between(random, 1, 2);
  return {
    inputs: [uniform(random, [1, ...lengths, channels]), uniform(random, [...taps, channels, 2], -1, 1)],
    run: (x, filter) =>
      tf.conv3d(x as tf.Tensor5D, filter as tf.Tensor5D, strides, pad, "NDHWC", [dilation, dilation, dilation]), // prettier-ignore
  };
};

const fusedRun =
  (depthwiseToo: boolean): TensorFunction =>
  (...tensors) => {
    const [x, filter, bias, slopes] = tensors as [tf.Tensor4D, tf.Tensor4D, tf.Tensor, tf.Tensor];
    const activations = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu", "prelu"] as const;
    return activations.map((activation) => {
      const weights = activation === "prelu" ? { preluActivationWeights: slopes } : {};
      const options = { x, filter, bias, activation, strides: 1, pad: "same", leakyreluAlpha: 0.3 } as const;
      return depthwiseToo
        ? tf.fused.depthwiseConv2d({ ...options, ...weights })
        : tf.fused.conv2d({ ...options, ...weights });
    });
  };

const fusedInputs = (random: Random, outputs: number, filter: readonly number[]): Case["inputs"] => [
  uniform(random, [1, 3, 4, 2]),
  uniform(random, filter, -1, 1),
  uniform(random, [outputs]),
  uniform(random, [outputs], 0.1, 0.4),
];

/** Down by a pool, up by a transposed convolution, and a skip between them. */
const network: TensorFunction = (...tensors) => {
  const [image, stem, depth, point, up] = tensors as [tf.Tensor4D, ...tf.Tensor4D[]];
  if (stem === undefined || depth === undefined || point === undefined || up === undefined) {
    throw new RangeError("a filter is missing");
  }
  const wide = tf.relu(tf.conv2d(image, stem, 1, "same")); // [1, 6, 6, 2]
  const small = tf.maxPool(wide, 3, 2, "same"); // [1, 3, 3, 2]
  const { mean, variance } = tf.moments(small, [0, 1, 2]);
  const ones = tf.ones<tf.Rank.R1>([2]);
  const normal = tf.batchNorm(small, mean as tf.Tensor1D, variance as tf.Tensor1D, tf.zerosLike(ones), ones);
  const mixed = tf.elu(tf.separableConv2d(normal, depth, point, 1, "same"));
  const large = tf.conv2dTranspose(mixed, up, [1, 6, 6, 2], 2, "same");
  return tf.add(large, tf.image.resizeBilinear(tf.avgPool(wide, 2, 2, "valid"), [6, 6]));
};

export const convolutionCases: readonly ContractCase[] = [
  smooth("a small network", (random) => {
    const shapes = [[1, 6, 6, 1], [3, 3, 1, 2], [3, 3, 2, 1], [1, 1, 2, 2], [3, 3, 2, 2]]; // prettier-ignore
    return { inputs: shapes.map((shape) => uniform(random, shape, -1, 1)), run: network };
  }),
  smooth("conv2d", (random) => planar(random, false, conv2d), 6),
  smooth("conv2d, dilated", (random) => planar(random, true, conv2d), 3),
  smooth("conv2d, padded by a number", (random) => {
    const rounding = pick(random, ["floor", "ceil"] as const);
    return {
      inputs: [uniform(random, [1, 5, 6, 2]), uniform(random, [3, 3, 2, 2], -1, 1)],
      run: (x, filter) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 2, 1, "NHWC", 1, rounding),
    };
  }),
  smooth(
    "conv2d of many channels",
    (random) => ({
      inputs: [uniform(random, [1, 4, 3, 16]), uniform(random, [2, 3, 16, 2], -1, 1)],
      run: (x, filter) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, [2, 1], "same"),
    }),
    1,
  ),
  smooth(
    "conv2d, channels first",
    (random) => ({
      inputs: [uniform(random, [2, 2, 5, 4]), uniform(random, [3, 2, 2, 3], -1, 1)],
      run: (x, filter) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, [2, 1], "same", "NCHW"),
    }),
    1,
  ),
  smooth(
    "conv1d",
    (random) => ({
      inputs: [uniform(random, [2, 6, 2]), uniform(random, [3, 2, 3], -1, 1)],
      run: (x, filter) => tf.conv1d(x as tf.Tensor3D, filter as tf.Tensor3D, 2, "same"),
    }),
    1,
  ),
  smooth("conv2d transposed", transposed, 4),
  smooth("depthwise", (random) => planar(random, false, depthwise), 4),
  smooth("depthwise, dilated", (random) => planar(random, true, depthwise), 2),
  smooth(
    "separable",
    (random) => ({
      inputs: [uniform(random, [1, 4, 4, 2]), uniform(random, [3, 3, 2, 2]), uniform(random, [1, 1, 4, 3])],
      run: (...tensors) => {
        const [x, depth, point] = tensors as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
        return tf.separableConv2d(x, depth, point, 1, "same");
      },
    }),
    1,
  ),
  smooth("conv3d", (random) => volume(random, false), 3),
  smooth("conv3d, dilated", (random) => volume(random, true), 2),
  smooth(
    "conv3d transposed",
    (random) => ({
      inputs: [uniform(random, [1, 2, 2, 3, 2]), uniform(random, [2, 2, 3, 1, 2], -1, 1)],
      run: (x, filter) =>
        tf.conv3dTranspose(x as tf.Tensor5D, filter as tf.Tensor5D, [1, 3, 4, 6, 1], 2, "same"),
    }),
    1,
  ),
  flat("fused conv2d with every activation", (random) => ({
    inputs: fusedInputs(random, 3, [2, 3, 2, 3]),
    run: fusedRun(false),
  })),
  flat("fused depthwise with every activation", (random) => ({
    inputs: fusedInputs(random, 4, [2, 3, 2, 2]),
    run: fusedRun(true),
  })),
  smooth(
    "fused without activation",
    (random) => ({
      inputs: fusedInputs(random, 3, [2, 3, 2, 3]).slice(0, 3),
      run: (...tensors) => {
        const [x, filter, bias] = tensors as [tf.Tensor4D, tf.Tensor4D, tf.Tensor];
        return tf.fused.conv2d({ x, filter, bias, strides: 2, pad: "same" });
      },
    }),
    1,
  ),
];
