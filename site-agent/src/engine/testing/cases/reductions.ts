/** Reductions, running sums and products, softmax, extremes, normalisation. */
import * as tf from "../../tf.ts";
import { integers, uniform, type TensorFunction } from "../compare.ts";
import { between, flat, randomShape, runKernel, smooth, type ContractCase } from "./case.ts";

type Reduce = (x: tf.Tensor, axes?: number[], keep?: boolean) => tf.Tensor;

const reduction = (name: string, reduce: Reduce): ContractCase =>
  smooth(
    name,
    (random) => {
      const shape = randomShape(random, 1);
      const axes = shape.flatMap((_, axis) => (random.below(2) === 0 ? [axis] : []));
      const keep = random.below(2) === 0;
      return { inputs: [uniform(random, shape, 0.3, 2)], run: (x) => [reduce(x, axes, keep), reduce(x)] };
    },
    3,
  );

const scan = (name: string, scanned: typeof tf.cumsum): ContractCase =>
  smooth(
    name,
    (random) => {
      const shape = randomShape(random, 1, 3);
      const [axis, exclusive, reverse] = [random.below(shape.length), random.below(2) === 0, random.below(2) === 0]; // prettier-ignore
      return { inputs: [uniform(random, shape)], run: (x) => scanned(x, axis, exclusive, reverse) };
    },
    4,
  );

/** Some factors are zero, where a gradient through a quotient would fail. */
const withZeros = (shape: readonly number[]): ReturnType<typeof uniform> => ({
  shape,
  values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => [0, 1.5, -2, 0.5, 3][i % 5] ?? 1), // prettier-ignore
});

const responseAttributes = { depthRadius: 1, bias: 1.2, alpha: 0.4, beta: 0.6 };

export const reductionCases: readonly ContractCase[] = [
  reduction("sum", tf.sum),
  reduction("mean", tf.mean),
  reduction("max", tf.max),
  reduction("min", tf.min),
  reduction("prod", tf.prod),
  smooth("products with zeros", () => ({
    inputs: [withZeros([3, 4])],
    run: (x) => [tf.prod(x, 1), tf.cumprod(x, 1), tf.cumprod(x, 0, true, true)],
  })),
  smooth("softmax, log-softmax, log-sum-exp", (random) => ({
    inputs: [uniform(random, [2, 3, 5], -4, 4)],
    run: (x) => [tf.softmax(x), tf.logSoftmax(x), tf.logSumExp(x, -1)],
  })),
  smooth("log-softmax as a kernel, which TF.js composes", (random) => ({
    inputs: [uniform(random, [3, 4])],
    run: (x) => runKernel(tf.LogSoftmax, { logits: x }, { axis: -1 }),
    reference: (x) => tf.logSoftmax(x),
  })),
  scan("cumulative sums", tf.cumsum),
  scan("cumulative products", tf.cumprod),
  flat("positions of extremes", (random) => ({
    inputs: [uniform(random, [3, 6])],
    run: (x) => [tf.argMax(x, 1), tf.argMin(x, 0)],
  })),
  smooth("the k largest", (random) => ({
    inputs: [uniform(random, [3, 6])],
    run: (x) => tf.topk(x, 3).values,
  })),
  flat("where the k largest are", (random) => ({
    inputs: [uniform(random, [3, 6])],
    run: (x) => tf.topk(x, 2).indices,
  })),
  flat("where values belong in sorted rows", () => {
    const sorted = { shape: [2, 4], values: Float32Array.of(0, 1, 1, 2, -1, 0, 3, 5) };
    const values = { shape: [2, 3], values: Float32Array.of(1, -1, 9, 0, 4, 5) };
    return { inputs: [sorted, values], run: (x, y) => [tf.lowerBound(x, y), tf.upperBound(x, y)] };
  }),
  smooth("batch normalisation", (random) => {
    const channels = between(random, 1, 4);
    const perChannel = (low: number, high: number): ReturnType<typeof uniform> =>
      uniform(random, [channels], low, high);
    const x = uniform(random, [...randomShape(random, 1, 3), channels]);
    const run: TensorFunction = (...tensors) => {
      const [image, mean, variance, offset, scale] = tensors as [tf.Tensor, ...tf.Tensor1D[]];
      if (mean === undefined || variance === undefined) throw new RangeError("statistics are missing");
      return tf.batchNorm(image, mean, variance, offset, scale, 1e-3);
    };
    const inputs = [x, perChannel(-1, 1), perChannel(0.3, 2), perChannel(-1, 1), perChannel(0.5, 2)];
    return { inputs, run };
  }),
  flat("batch normalisation without offset and scale", (random) => ({
    inputs: [uniform(random, [2, 3, 3, 2]), uniform(random, [2]), uniform(random, [2], 0.3, 2)],
    run: (...tensors) => {
      const [x, mean, variance] = tensors as [tf.Tensor, tf.Tensor1D, tf.Tensor1D];
      return tf.batchNorm(x, mean, variance);
    },
  })),
  smooth("local response normalisation", (random) => ({
    inputs: [uniform(random, [1, 2, 2, between(random, 1, 5)])],
    run: (x) =>
      [1, 2].map((radius) => tf.localResponseNormalization(x as tf.Tensor4D, radius, 1.2, 0.4, 0.6)),
  })),
  flat("its gradient as a kernel", (random) => ({
    inputs: [uniform(random, [1, 2, 2, 4]), uniform(random, [1, 2, 2, 4])],
    run: (x, dy) => {
      const y = runKernel(tf.LRN, { x }, responseAttributes);
      return runKernel(tf.LRNGrad, { x, y, dy }, responseAttributes);
    },
  })),
  flat("counts values, weighted or not", (random) => ({
    inputs: [integers(random, [2, 6], 0, 5), uniform(random, [2, 6])],
    run: (x, weights) => {
      const none = tf.tensor1d([]);
      const row = (y: tf.Tensor): tf.Tensor1D => tf.reshape(tf.slice(y, [0, 0], [1, 6]), [6]);
      const [line, first] = [row(x), row(weights)];
      const grid = (y: tf.Tensor): tf.Tensor2D => tf.reshape(y, [2, 6]);
      return [
        tf.bincount(line, none, 4),
        tf.bincount(line, first, 6),
        tf.denseBincount(grid(x), grid(weights), 4),
        tf.denseBincount(grid(x), tf.tensor2d([], [0, 6]), 5, true),
      ];
    },
  })),
];
