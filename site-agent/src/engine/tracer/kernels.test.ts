/** Every traced kernel and every gradient rule against TF.js' plain CPU backend, on random shapes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import {
  expectSame,
  expectSameWithGradients,
  integers,
  uniform,
  type TensorFunction,
} from "../testing/compare.ts";
import * as tf from "../tf.ts";
import { tracedKernels } from "./backend.ts";

const RUNS = { numRuns: 3, seed: 20_240_601 };

const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 0, maxLength: 4 });
const nonScalars = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
const seeds = fc.nat();

/** Two shapes that broadcast to each other: axes dropped from the front or set to 1. */
const broadcastPairs = fc
  .tuple(nonScalars, fc.nat({ max: 4 }), fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }))
  .map(([shape, dropped, ones]): [number[], number[]] => {
    const left = shape.map((length, axis) => (ones[axis] ? 1 : length));
    const right = shape
      .map((length, axis) => (ones[axis + 4] ? 1 : length))
      .slice(Math.min(dropped, shape.length));
    return [left, right];
  });

const property1 = (run: TensorFunction, low = -2, high = 2): Promise<void> =>
  Promise.resolve(
    fc.assert(
      fc.asyncProperty(shapes, seeds, async (shape, seed) => {
        await expectSameWithGradients({ inputs: [uniform(new Random(seed), shape, low, high)], run });
      }),
      RUNS,
    ),
  );

const property2 = (run: TensorFunction, low = -2, high = 2): Promise<void> =>
  Promise.resolve(
    fc.assert(
      fc.asyncProperty(broadcastPairs, seeds, async ([a, b], seed) => {
        const random = new Random(seed);
        const inputs = [uniform(random, a, low, high), uniform(random, b, low, high)];
        await expectSameWithGradients({ inputs, run });
      }),
      RUNS,
    ),
  );

const smooth: Readonly<Record<string, readonly [TensorFunction, number?, number?]>> = {
  exp: [tf.exp],
  expm1: [tf.expm1],
  log: [tf.log, 0.1, 3],
  log1p: [tf.log1p, -0.5, 3],
  sqrt: [tf.sqrt, 0.1, 3],
  rsqrt: [tf.rsqrt, 0.1, 3],
  square: [tf.square],
  reciprocal: [tf.reciprocal, 0.2, 3],
  erf: [tf.erf],
  tanh: [tf.tanh],
  sigmoid: [tf.sigmoid],
  softplus: [tf.softplus],
  sin: [tf.sin],
  cos: [tf.cos],
  atan: [tf.atan],
  sinh: [tf.sinh],
  cosh: [tf.cosh],
  neg: [tf.neg],
  abs: [tf.abs],
  relu: [tf.relu],
  relu6: [(x) => tf.relu6(tf.mul(x, 5))],
  elu: [tf.elu],
  "leaky relu": [(x) => tf.leakyRelu(x, 0.1)],
  clip: [(x) => tf.clipByValue(x, -0.7, 0.8)],
  clone: [(x) => tf.clone(x)],
  floor: [tf.floor],
  ceil: [tf.ceil],
  round: [tf.round],
  sign: [tf.sign],
  step: [(x) => tf.step(x, 0.3)],
  "zeros and ones": [(x) => tf.add(tf.zerosLike(x), tf.onesLike(x))],
};

describe("element by element", () => {
  for (const [name, [run, low, high]] of Object.entries(smooth)) {
    it(name, () => property1(run, low, high));
  }

  const binary: Readonly<Record<string, readonly [TensorFunction, number?, number?]>> = {
    add: [tf.add],
    sub: [tf.sub],
    mul: [tf.mul],
    div: [tf.div, 0.3, 2],
    pow: [tf.pow, 0.3, 2],
    maximum: [tf.maximum],
    minimum: [tf.minimum],
    "squared difference": [tf.squaredDifference],
    "floor division": [(a, b) => tf.floorDiv(a, b), 0.3, 2],
  };
  for (const [name, [run, low, high]] of Object.entries(binary)) {
    it(name, () => property2(run, low, high));
  }

  it("functions without a gradient here", async () => {
    const random = new Random(1);
    const inputs = [uniform(random, [2, 3], -0.9, 0.9)];
    for (const run of [tf.tan, tf.asin, tf.acos] as TensorFunction[]) await expectSame({ inputs, run });
    const pair = [uniform(random, [2, 3]), uniform(random, [3], 0.5, 2)];
    await expectSame({ inputs: pair, run: (a, b) => tf.mod(a, b) });
  });

  it("prelu", async () => {
    const random = new Random(1);
    const inputs = [uniform(random, [2, 3, 4]), uniform(random, [4], 0.1, 0.5)];
    await expectSameWithGradients({
      inputs,
      run: (x, alpha) => tf.prelu(x, alpha),
    });
  });

  it("sums of many", async () => {
    const random = new Random(1);
    const inputs = [1, 2, 3].map(() => uniform(random, [2, 3]));
    await expectSameWithGradients({ inputs, run: (...parts) => tf.addN(parts) });
  });

  it("stays exact near zero: log1p and expm1", async () => {
    const inputs = [{ shape: [4], values: Float32Array.of(1e-7, -3e-6, 4e-4, 0) }];
    await expectSame({
      inputs,
      run: (x) => [tf.log1p(x), tf.expm1(x)].map((y) => tf.mul(y, 1e4)),
    });
  });
});

describe("comparisons and choices", () => {
  it("compares floats and integers, and combines the answers", async () => {
    const random = new Random(2);
    const run: TensorFunction = (a, b, c, d) => {
      const [x, y, i, j] = [a, b, c, d] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const answers = [x, i].flatMap((left, n) => {
        const right = n === 0 ? y : j;
        return [tf.equal, tf.notEqual, tf.greater, tf.greaterEqual, tf.less, tf.lessEqual].map((compare) =>
          compare(left, right),
        );
      });
      const [first, second, third] = answers as [tf.Tensor, tf.Tensor, tf.Tensor];
      return [
        ...answers,
        tf.logicalAnd(second, third),
        tf.logicalOr(first, third),
        tf.logicalNot(second),
        tf.equal(second, third),
        tf.all(second),
        tf.any(first, 0),
        tf.sum(third),
        tf.where(third, first, second),
      ];
    };
    const inputs = [
      uniform(random, [3, 4]),
      uniform(random, [4]),
      integers(random, [3, 4], -2, 3),
      integers(random, [4], -2, 3),
    ];
    await expectSame({ inputs, run });
  });

  it("chooses with a mask that depends on what is differentiated", async () => {
    const random = new Random(3);
    const run: TensorFunction = (a, b) => {
      const [x, y] = [a, b];
      return tf.where(tf.greater(x, y), tf.square(x), tf.mul(y, 3));
    };
    await expectSameWithGradients({ inputs: [uniform(random, [2, 5]), uniform(random, [5])], run });
  });

  it("tells numbers from what is none", async () => {
    const values = Float32Array.of(1, NaN, Infinity, -Infinity, 0);
    const run: TensorFunction = (x) => [tf.isNaN(x), tf.isInf(x), tf.isFinite(x)];
    await expectSame({ inputs: [{ shape: [5], values }], run });
  });
});

describe("integers", () => {
  it("adds, multiplies, divides towards minus infinity and reduces", async () => {
    const random = new Random(4);
    const run: TensorFunction = (a, b) => {
      const [x, y] = [a, b];
      return [
        tf.add(x, y),
        tf.sub(x, y),
        tf.mul(x, y),
        tf.maximum(x, y),
        tf.minimum(x, y),
        tf.floorDiv(x, y),
        tf.mod(x, y),
        tf.neg(x),
        tf.abs(x),
        tf.sign(x),
        tf.relu(x),
        tf.squaredDifference(x, y),
        tf.sum(x, 0),
        tf.max(x, 1),
        tf.min(x),
        tf.cast(x, "bool"),
        tf.where(tf.greater(x, y), x, tf.broadcastTo(y, x.shape as [number, number])),
        tf.concat([x, x]),
        tf.cumsum(x, 1),
      ];
    };
    await expectSame({ inputs: [integers(random, [3, 4], -9, 9), integers(random, [4], 1, 5)], run });
  });

  it("takes bytes in as float32", async () => {
    const values = Uint8Array.of(0, 1, 127, 128, 255, 7);
    await expectSame({ inputs: [{ shape: [2, 3], values }], run: (x) => tf.div(x, 255) });
  });

  it("casts towards zero", async () => {
    const values = Float32Array.of(-1.7, -0.2, 0, 0.9, 2.5);
    const run: TensorFunction = (x) => [tf.cast(x, "int32"), tf.cast(x, "bool")];
    await expectSame({ inputs: [{ shape: [5], values }], run });
  });
});

describe("reductions", () => {
  const reductions: Readonly<Record<string, (x: tf.Tensor, axes?: number[], keep?: boolean) => tf.Tensor>> = {
    sum: tf.sum,
    mean: tf.mean,
    max: tf.max,
    min: tf.min,
    prod: tf.prod,
  };
  for (const [name, reduce] of Object.entries(reductions)) {
    it(name, async () => {
      await fc.assert(
        fc.asyncProperty(nonScalars, fc.nat(), fc.boolean(), seeds, async (shape, mask, keep, seed) => {
          const axes = shape.map((_, axis) => axis).filter((axis) => (mask >> axis) % 2 === 1);
          const inputs = [uniform(new Random(seed), shape, 0.3, 2)];
          await expectSameWithGradients({ inputs, run: (x) => reduce(x, axes, keep) });
          await expectSameWithGradients({ inputs, run: (x) => reduce(x) });
        }),
        RUNS,
      );
    });
  }

  it("softmax, log-softmax, log-sum-exp", async () => {
    const inputs = [uniform(new Random(5), [2, 3, 5], -4, 4)];
    for (const run of [
      tf.softmax,
      tf.logSoftmax,
      (x: tf.Tensor) => tf.logSumExp(x, -1),
    ] as TensorFunction[]) {
      await expectSameWithGradients({ inputs, run });
    }
  });

  it("cumulative sums, four ways", async () => {
    const inputs = [uniform(new Random(6), [3, 4])];
    for (const exclusive of [false, true]) {
      for (const reverse of [false, true]) {
        const run: TensorFunction = (x) => tf.cumsum(x, 1, exclusive, reverse);
        await expectSameWithGradients({ inputs, run });
      }
    }
  });

  it("positions of extremes, and the k largest", async () => {
    const inputs = [uniform(new Random(7), [3, 6])];
    const run: TensorFunction = (x) => {
      const { values, indices } = tf.topk(x, 3);
      return [tf.argMax(x, 1), tf.argMin(x, 0), values, indices];
    };
    await expectSame({ inputs, run });
  });
});

describe("matrix products", () => {
  it("of any rank, either operand transposed", async () => {
    const sizes = fc.integer({ min: 1, max: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(sizes, { maxLength: 2 }),
        fc.tuple(sizes, sizes, sizes),
        fc.boolean(),
        fc.boolean(),
        seeds,
        async (batch, [m, k, n], transposeA, transposeB, seed) => {
          const random = new Random(seed);
          const a = uniform(random, [...batch, ...(transposeA ? [k, m] : [m, k])]);
          const b = uniform(random, [...batch, ...(transposeB ? [n, k] : [k, n])]);
          const run: TensorFunction = (x, y) => tf.matMul(x, y, transposeA, transposeB);
          await expectSameWithGradients({ inputs: [a, b], run });
        },
      ),
      { ...RUNS, numRuns: 12 },
    );
  });

  it("with a batch axis broadcast, gradients summed over it", async () => {
    const random = new Random(8);
    const inputs = [uniform(random, [3, 2, 4]), uniform(random, [1, 4, 5])];
    await expectSameWithGradients({ inputs, run: (x, y) => tf.matMul(x, y) });
  });

  it("fused with a bias and an activation", async () => {
    const random = new Random(9);
    const inputs = [uniform(random, [3, 4]), uniform(random, [4, 5]), uniform(random, [5])];
    for (const activation of ["linear", "relu", "sigmoid"] as const) {
      const run: TensorFunction = (a, b, bias) => tf.fused.matMul({ a: a, b: b, bias: bias, activation });
      await expectSame({ inputs, run });
    }
  });
});

describe("moving elements", () => {
  const cases: Readonly<Record<string, readonly [number[], (x: tf.Tensor) => tf.Tensor | tf.Tensor[]]>> = {
    reshape: [[2, 6], (x) => tf.reshape(x, [3, -1])],
    "expand and squeeze": [[2, 3], (x) => tf.squeeze(tf.expandDims(tf.expandDims(x, -1), 0), [0])],
    transpose: [[2, 3, 4, 2], (x) => tf.transpose(x, [2, 0, 3, 1])],
    tile: [[2, 3], (x) => tf.tile(x, [2, 3])],
    "tile to a higher rank": [[3], (x) => tf.tile(tf.reshape(x, [1, 3]), [4, 1])],
    broadcast: [[2, 1, 3], (x) => tf.broadcastTo(x, [2, 4, 3])],
    "concat with itself": [[2, 3], (x) => tf.concat([x, tf.square(x), x], 1)],
    "split evenly": [[2, 6], (x) => tf.split(x, 3, 1).map((part, i) => tf.mul(part, i + 1))],
    "split unevenly": [[2, 6], (x) => tf.split(x, [1, 3, 2], -1).map((part, i) => tf.mul(part, i + 1))],
    "stack and unstack": [[3, 4], (x) => tf.stack(tf.unstack(x, 1).toReversed(), 1)],
    slice: [[4, 5, 2], (x) => tf.slice(x, [1, 2], [2, -1])],
    pad: [[2, 3], (x) => tf.pad(x, [[1, 0], [2, 1]], 0.5)], // prettier-ignore
    reverse: [[3, 4], (x) => tf.reverse(x, [0, 1])],
  };
  for (const [name, [shape, run]] of Object.entries(cases)) {
    it(name, () => expectSameWithGradients({ inputs: [uniform(new Random(10), shape)], run: (x) => run(x) }));
  }

  it("strided slices, forwards and backwards, axes added and dropped", async () => {
    const inputs = [uniform(new Random(11), [5, 6, 4])];
    const run: TensorFunction = (a) => {
      const x = a;
      return [
        tf.stridedSlice(x, [0, 1, 0], [5, 6, 4], [2, 3, 1]),
        tf.stridedSlice(x, [4, 5, 3], [0, 0, 0], [-1, -2, -1], 0, 0b111),
        tf.stridedSlice(x, [1, 0, 0], [2, 3, 2], [1, 1, 1], 0, 0, 0, 0, 0b001),
      ];
    };
    await expectSame({ inputs, run });
  });
});

describe("indices", () => {
  it("gathers rows, columns, and within a batch", async () => {
    const random = new Random(12);
    const inputs = [uniform(random, [4, 5, 3]), integers(random, [4, 2], 0, 4)];
    const run: TensorFunction = (a, b) => {
      const [x, indices] = [a, b] as [tf.Tensor, tf.Tensor2D];
      return [
        tf.gather(x, indices),
        tf.gather(x, indices, 1),
        tf.gather(x, indices, 1, 1),
        tf.gather(tf.reshape(x, [20, 3]), tf.reshape(indices, [8])),
        tf.gatherND(x, indices),
      ];
    };
    await expectSame({ inputs, run });
  });

  it("one-hot vectors, which TF.js leaves 0 outside of the classes", async () => {
    const inputs = [integers(new Random(13), [2, 3], -1, 5)];
    const run: TensorFunction = (indices) => [
      tf.oneHot(indices, 4),
      tf.oneHot(indices, 4, 0.9, 0.1, "float32"),
    ];
    await expectSame({ inputs, run });
  });

  it("ranges and constants", async () => {
    const run: TensorFunction = (x) =>
      [tf.range(0, 5), tf.linspace(0, 1, 5), tf.fill([5], 3), tf.ones([5]), tf.tensor1d([1, 2, 3, 4, 5])].map(
        (c) => tf.add(x, c),
      );
    await expectSame({ inputs: [uniform(new Random(14), [5])], run });
  });
});

it("no kernel is registered twice", () => {
  const names = tracedKernels.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});
