/** Gradient rules of kernels that work element by element. Broadcast operands get the sum over the copies. */
import * as tf from "@tensorflow/tfjs-core";
import { none, rule, sumToShape } from "./rule.ts";

const { mul, sub, div, neg, square, cast, where, zerosLike } = tf;

const mask = (condition: tf.Tensor): tf.Tensor => cast(condition, "float32");

/** y = f(x) with dy/dx written in x. */
const fromInput = (name: string, derivative: (x: tf.Tensor) => tf.Tensor): tf.GradConfig =>
  rule(name, { inputs: ["x"] }, (dy, saved) => ({ x: () => mul(dy, derivative(saved.at(0))) }));

/** y = f(x) with dy/dx written in y. */
const fromOutput = (name: string, derivative: (y: tf.Tensor) => tf.Tensor): tf.GradConfig =>
  rule(name, { output: true }, (dy, saved) => ({ x: () => mul(dy, derivative(saved.at(0))) }));

/** A step function: its gradient is zero wherever it has one. */
const flat = (name: string, ...inputs: readonly string[]): tf.GradConfig =>
  rule(name, { inputs }, (_, saved) =>
    Object.fromEntries(inputs.map((input, i) => [input, () => none(saved.at(i))])),
  );

const binary: readonly tf.GradConfig[] = [
  rule(tf.Add, { inputs: ["a", "b"] }, (dy, saved) => ({
    a: () => sumToShape(dy, saved.at(0).shape),
    b: () => sumToShape(dy, saved.at(1).shape),
  })),
  rule(tf.Sub, { inputs: ["a", "b"] }, (dy, saved) => ({
    a: () => sumToShape(dy, saved.at(0).shape),
    b: () => neg(sumToShape(dy, saved.at(1).shape)),
  })),
  rule(tf.Multiply, { inputs: ["a", "b"] }, (dy, saved) => ({
    a: () => sumToShape(mul(dy, cast(saved.at(1), "float32")), saved.at(0).shape),
    b: () => sumToShape(mul(dy, cast(saved.at(0), "float32")), saved.at(1).shape),
  })),
  rule(tf.RealDiv, { inputs: ["a", "b"], output: true }, (dy, saved) => {
    const b = cast(saved.at(1), "float32");
    return {
      a: () => sumToShape(div(dy, b), saved.at(0).shape),
      b: () => sumToShape(neg(div(mul(dy, saved.at(2)), b)), saved.at(1).shape),
    };
  }),
  rule(tf.Pow, { inputs: ["a", "b"], output: true }, (dy, saved) => {
    const base = saved.at(0);
    const exponent = cast(saved.at(1), "float32");
    return {
      a: () => sumToShape(mul(dy, mul(exponent, tf.pow(base, sub(exponent, 1)))), base.shape),
      b: () => {
        const log = where(tf.greater(base, 0), tf.log(base), zerosLike(base));
        return sumToShape(mul(dy, mul(saved.at(2), log)), saved.at(1).shape);
      },
    };
  }),
  rule(tf.SquaredDifference, { inputs: ["a", "b"] }, (dy, saved) => {
    const slope = mul(dy, mul(sub(saved.at(0), saved.at(1)), 2));
    return {
      a: () => sumToShape(slope, saved.at(0).shape),
      b: () => neg(sumToShape(slope, saved.at(1).shape)),
    };
  }),
  rule(tf.Atan2, { inputs: ["a", "b"] }, (dy, saved) => {
    const [a, b] = [saved.at(0), saved.at(1)];
    const perSquare = (): tf.Tensor => div(dy, tf.add(square(a), square(b)));
    return {
      a: () => sumToShape(mul(perSquare(), b), a.shape),
      b: () => neg(sumToShape(mul(perSquare(), a), b.shape)),
    };
  }),
  // a - b floor(a / b), whose floor is flat.
  rule(tf.Mod, { inputs: ["a", "b"] }, (dy, saved) => {
    const [a, b] = [saved.at(0), saved.at(1)];
    return {
      a: () => sumToShape(dy, a.shape),
      b: () => neg(sumToShape(mul(dy, tf.floor(div(a, b))), b.shape)),
    };
  }),
  // Of two equal operands the first gets all, as in TF.js.
  rule(tf.Maximum, { inputs: ["a", "b"] }, (dy, saved) => ({
    a: () => sumToShape(mul(dy, mask(tf.greaterEqual(saved.at(0), saved.at(1)))), saved.at(0).shape),
    b: () => sumToShape(mul(dy, mask(tf.less(saved.at(0), saved.at(1)))), saved.at(1).shape),
  })),
  rule(tf.Minimum, { inputs: ["a", "b"] }, (dy, saved) => ({
    a: () => sumToShape(mul(dy, mask(tf.lessEqual(saved.at(0), saved.at(1)))), saved.at(0).shape),
    b: () => sumToShape(mul(dy, mask(tf.greater(saved.at(0), saved.at(1)))), saved.at(1).shape),
  })),
  rule(tf.AddN, { allInputs: true }, (dy, saved) =>
    Object.fromEntries(saved.all.map((_, i) => [i, () => tf.clone(dy)])),
  ),
  rule(tf.Select, { inputs: ["condition"] }, (dy, saved) => {
    const chosen = mask(saved.at(0));
    const trailing = dy.rank - chosen.rank;
    const spread =
      chosen.rank === 0 || trailing === 0
        ? chosen
        : tf.reshape(chosen, [...chosen.shape, ...Array.from({ length: trailing }, () => 1)]);
    return {
      condition: () => none(saved.at(0)),
      t: () => mul(dy, spread),
      e: () => mul(dy, sub(1, spread)),
    };
  }),
  rule(tf.Prelu, { inputs: ["x", "alpha"] }, (dy, saved) => {
    const [x, alpha] = [saved.at(0), saved.at(1)];
    const positive = tf.greater(x, 0);
    return {
      x: () => where(positive, dy, mul(dy, alpha)),
      alpha: () => sumToShape(where(positive, zerosLike(dy), mul(dy, x)), alpha.shape),
    };
  }),
];

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

const unary: readonly tf.GradConfig[] = [
  rule(tf.Identity, {}, (dy) => ({ x: () => cast(dy, "float32") })),
  rule(tf.Cast, {}, (dy) => ({ x: () => tf.clone(dy) })),
  rule(tf.Neg, {}, (dy) => ({ x: () => neg(dy) })),
  fromInput(tf.Abs, (x) => tf.sign(x)),
  fromInput(tf.Square, (x) => mul(x, 2)),
  fromInput(tf.Log, (x) => tf.reciprocal(x)),
  fromInput(tf.Log1p, (x) => tf.reciprocal(tf.add(x, 1))),
  fromInput(tf.Sin, (x) => tf.cos(x)),
  fromInput(tf.Cos, (x) => neg(tf.sin(x))),
  fromInput(tf.Asin, (x) => tf.rsqrt(sub(1, square(x)))),
  fromInput(tf.Acos, (x) => neg(tf.rsqrt(sub(1, square(x))))),
  fromInput(tf.Asinh, (x) => tf.rsqrt(tf.add(square(x), 1))),
  fromInput(tf.Acosh, (x) => tf.rsqrt(sub(square(x), 1))),
  fromInput(tf.Atanh, (x) => tf.reciprocal(sub(1, square(x)))),
  fromInput(tf.Atan, (x) => tf.reciprocal(tf.add(square(x), 1))),
  fromInput(tf.Sinh, (x) => tf.cosh(x)),
  fromInput(tf.Cosh, (x) => tf.sinh(x)),
  fromInput(tf.Erf, (x) => mul(tf.exp(neg(square(x))), TWO_OVER_SQRT_PI)),
  fromInput(tf.Softplus, (x) => tf.sigmoid(x)),
  // From the result, which the next layer keeps anyway; a choice costs less than a product with a mask.
  rule(tf.Relu, { output: true }, (dy, saved) => ({
    x: () => where(tf.greater(saved.at(0), 0), dy, zerosLike(dy)),
  })),
  rule(tf.Relu6, { inputs: ["x"] }, (dy, saved) => ({
    x: () => {
      const x = saved.at(0);
      return where(tf.logicalAnd(tf.greater(x, 0), tf.lessEqual(x, 6)), dy, zerosLike(dy));
    },
  })),
  fromInput(tf.Elu, (x) => where(tf.greater(x, 0), tf.onesLike(x), tf.exp(x))),
  fromInput(tf.Selu, (x) => {
    const { SELU_SCALE, SELU_SCALEALPHA } = tf.backend_util;
    return where(tf.greater(x, 0), tf.fill(x.shape, SELU_SCALE), mul(tf.exp(x), SELU_SCALEALPHA));
  }),
  fromOutput(tf.Exp, (y) => y),
  fromOutput(tf.Tan, (y) => tf.add(square(y), 1)),
  fromOutput(tf.Expm1, (y) => tf.add(y, 1)),
  fromOutput(tf.Sqrt, (y) => div(0.5, y)),
  fromOutput(tf.Rsqrt, (y) => mul(mul(y, square(y)), -0.5)),
  fromOutput(tf.Reciprocal, (y) => neg(square(y))),
  fromOutput(tf.Tanh, (y) => sub(1, square(y))),
  fromOutput(tf.Sigmoid, (y) => mul(y, sub(1, y))),
  rule(tf.LeakyRelu, { inputs: ["x"] }, (dy, saved, { alpha }: tf.LeakyReluAttrs) => ({
    x: () => where(tf.greater(saved.at(0), 0), dy, mul(dy, alpha)),
  })),
  rule(
    tf.ClipByValue,
    { inputs: ["x"] },
    (dy, saved, { clipValueMin, clipValueMax }: tf.ClipByValueAttrs) => ({
      x: () => {
        const x = saved.at(0);
        const inside = tf.logicalAnd(tf.greaterEqual(x, clipValueMin), tf.lessEqual(x, clipValueMax));
        return mul(dy, mask(inside));
      },
    }),
  ),
];

/** Flat wherever they are smooth. */
export const stepRules: readonly tf.GradConfig[] = [
  ...[tf.Floor, tf.Ceil, tf.Round, tf.Sign, tf.Step, tf.LogicalNot].map((name) => flat(name, "x")),
  ...[tf.IsNan, tf.IsInf, tf.IsFinite, tf.ZerosLike, tf.OnesLike].map((name) => flat(name, "x")),
  ...[tf.Equal, tf.NotEqual, tf.Greater, tf.GreaterEqual, tf.Less, tf.LessEqual].map((name) =>
    flat(name, "a", "b"),
  ),
  ...[tf.LogicalAnd, tf.LogicalOr, tf.LogicalXor, tf.BitwiseAnd, tf.FloorDiv].map((name) =>
    flat(name, "a", "b"),
  ),
];

export const elementwiseRules: readonly tf.GradConfig[] = [...binary, ...unary, ...stepRules];
