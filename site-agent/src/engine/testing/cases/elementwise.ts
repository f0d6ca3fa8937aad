/** Element by element: functions, comparisons, choices, integers. */
import type { Random } from "../../../dataset/random.ts";
import * as tf from "../../tf.ts";
import { integers, uniform, type TensorFunction } from "../compare.ts";
import { flat, ofOne, ofTwo, randomShape, runKernel, smooth, type ContractCase } from "./case.ts";

const values = (...numbers: readonly number[]): ReturnType<typeof uniform> => ({
  shape: [numbers.length],
  values: Float32Array.from(numbers),
});

const functions: readonly ContractCase[] = [
  ofOne("exp", tf.exp),
  ofOne("expm1", tf.expm1),
  ofOne("log", tf.log, 0.1, 3),
  ofOne("log1p", tf.log1p, -0.5, 3),
  ofOne("sqrt", tf.sqrt, 0.1, 3),
  ofOne("rsqrt", tf.rsqrt, 0.1, 3),
  ofOne("square", tf.square),
  ofOne("reciprocal", tf.reciprocal, 0.2, 3),
  ofOne("erf", tf.erf),
  ofOne("tanh", tf.tanh),
  ofOne("sigmoid", tf.sigmoid),
  ofOne("silu", (x) => tf.mul(x, tf.sigmoid(x))),
  ofOne("softplus", tf.softplus),
  ofOne("sin", tf.sin),
  ofOne("cos", tf.cos),
  ofOne("tan", tf.tan, -1.2, 1.2),
  ofOne("asin", tf.asin, -0.9, 0.9),
  ofOne("acos", tf.acos, -0.9, 0.9),
  ofOne("atan", tf.atan),
  ofOne("sinh", tf.sinh),
  ofOne("cosh", tf.cosh),
  ofOne("asinh", tf.asinh),
  ofOne("acosh", tf.acosh, 1.2, 3),
  ofOne("atanh", tf.atanh, -0.8, 0.8),
  ofOne("neg", tf.neg),
  ofOne("abs", tf.abs),
  ofOne("relu", tf.relu),
  ofOne("relu6", (x) => tf.relu6(tf.mul(x, 5))),
  ofOne("elu", tf.elu),
  ofOne("selu", tf.selu),
  ofOne("leaky relu", (x) => tf.leakyRelu(x, 0.1)),
  ofOne("clip", (x) => tf.clipByValue(x, -0.7, 0.8)),
  ofOne("clone", (x) => tf.clone(x)),
  ofOne("floor", tf.floor),
  ofOne("ceil", tf.ceil),
  ofOne("round", tf.round),
  ofOne("sign", tf.sign),
  ofOne("step", (x) => tf.step(x, 0.3)),
  ofOne("zeros and ones", (x) => tf.add(tf.zerosLike(x), tf.onesLike(x))),
  smooth("prelu", (random) => ({
    inputs: [uniform(random, [2, 3, 4]), uniform(random, [4], 0.1, 0.5)],
    run: (x, alpha) => tf.prelu(x, alpha),
  })),
  flat("near zero: log1p and expm1", () => ({
    inputs: [values(1e-7, -3e-6, 4e-4, 0)],
    run: (x) => [tf.log1p(x), tf.expm1(x)].map((y) => tf.mul(y, 1e4)),
  })),
  flat("the gradient of elu as a kernel", (random) => ({
    inputs: [uniform(random, [5]), uniform(random, [5], -0.9, 2)],
    run: (dy, y) => runKernel(tf.EluGrad, { dy, y }),
  })),
];

const pairs: readonly ContractCase[] = [
  ofTwo("add", tf.add),
  ofTwo("sub", tf.sub),
  ofTwo("mul", tf.mul),
  ofTwo("div", tf.div, 0.3, 2),
  ofTwo("pow", tf.pow, 0.3, 2),
  ofTwo("maximum", tf.maximum),
  ofTwo("minimum", tf.minimum),
  ofTwo("squared difference", tf.squaredDifference),
  ofTwo("floor division", (a, b) => tf.floorDiv(a, b), 0.3, 2),
  ofTwo("modulo", (a, b) => tf.mod(a, b), 0.3, 2),
  ofTwo("atan2", (a, b) => tf.atan2(a, b)),
  flat("modulo of negative numbers", (random) => ({
    inputs: [uniform(random, [2, 3]), uniform(random, [3], 0.5, 2)],
    run: (a, b) => tf.mod(a, b),
  })),
  flat("atan2 on the axes", () => ({
    inputs: [values(0, 1, 0, -1, 0, 1), values(1, 0, -1, 0, 0, -2)],
    run: (a, b) => tf.atan2(a, b),
  })),
  smooth("sums of many", (random) => {
    const shape = randomShape(random);
    return { inputs: [1, 2, 3].map(() => uniform(random, shape)), run: (...parts) => tf.addN(parts) };
  }),
];

const comparisons: readonly ContractCase[] = [
  flat("compares floats and integers, and combines the answers", (random) => {
    const run: TensorFunction = (...tensors) => {
      const [x, y, i, j] = tensors as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const compare = [tf.equal, tf.notEqual, tf.greater, tf.greaterEqual, tf.less, tf.lessEqual];
      const answers = [...compare.map((test) => test(x, y)), ...compare.map((test) => test(i, j))];
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
    return { inputs: fourOperands(random), run };
  }),
  flat("exclusive or, which TF.js composes", (random) => ({
    inputs: [uniform(random, [3, 4]), uniform(random, [4])],
    run: (x, y) => runKernel(tf.LogicalXor, { a: tf.greater(x, 0), b: tf.greater(y, 0) }),
    reference: (x, y) => tf.logicalXor(tf.greater(x, 0), tf.greater(y, 0)),
  })),
  smooth("chooses with a mask that depends on what is differentiated", (random) => ({
    inputs: [uniform(random, [2, 5]), uniform(random, [5])],
    run: (x, y) => tf.where(tf.greater(x, y), tf.square(x), tf.mul(y, 3)),
  })),
  flat("tells numbers from what is none", () => ({
    inputs: [values(1, NaN, Infinity, -Infinity, 0)],
    run: (x) => [tf.isNaN(x), tf.isInf(x), tf.isFinite(x)],
  })),
];

const fourOperands = (random: Random): ReturnType<typeof uniform>[] => [
  uniform(random, [3, 4]),
  uniform(random, [4]),
  integers(random, [3, 4], -2, 3),
  integers(random, [4], -2, 3),
];

const wholeNumbers: readonly ContractCase[] = [
  flat("adds, multiplies, divides towards minus infinity and reduces", (random) => ({
    inputs: [integers(random, [3, 4], -9, 9), integers(random, [4], 1, 5)],
    run: (x, y) => [
      ...[tf.add(x, y), tf.sub(x, y), tf.mul(x, y), tf.maximum(x, y), tf.minimum(x, y)],
      ...[tf.floorDiv(x, y), tf.mod(x, y), tf.squaredDifference(x, y)],
      ...[tf.neg(x), tf.abs(x), tf.sign(x), tf.relu(x)],
      ...[tf.sum(x, 0), tf.max(x, 1), tf.min(x), tf.cumsum(x, 1)],
      tf.cast(x, "bool"),
      tf.where(tf.greater(x, y), x, tf.broadcastTo(y, x.shape as [number, number])),
      tf.concat([x, x]),
    ],
  })),
  flat("and of bits", (random) => ({
    inputs: [integers(random, [3, 4], 0, 99), integers(random, [4], 0, 99)],
    run: (x, y) => tf.bitwiseAnd(x, tf.broadcastTo(y, x.shape as [number, number])),
  })),
  flat("takes bytes in as float32", () => ({
    inputs: [{ shape: [2, 3], values: Uint8Array.of(0, 1, 127, 128, 255, 7) }],
    run: (x) => tf.div(x, 255),
  })),
  flat("casts towards zero", () => ({
    inputs: [values(-1.7, -0.2, 0, 0.9, 2.5)],
    run: (x) => [tf.cast(x, "int32"), tf.cast(x, "bool")],
  })),
];

export const elementwiseCases: readonly ContractCase[] = [
  ...functions,
  ...pairs,
  ...comparisons,
  ...wholeNumbers,
];
