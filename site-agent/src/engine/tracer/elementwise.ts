/** Kernels that work element by element, with broadcasting. */
import * as tf from "@tensorflow/tfjs-core";
import type { GraphBuilder } from "../graph/builder.ts";
import { float, type Value } from "../graph/ir.ts";
import { broadcastShape } from "../graph/shapes.ts";
import { clip, compare, floating, numeric, pair, same, select, tracedDtype } from "./emit.ts";
import { kernel, type Inputs, type TracedKernel } from "./kernel.ts";

function arithmetic(name: string, op: string): TracedKernel {
  return kernel(name, (graph, { a, b }: Inputs<"a" | "b">) =>
    pair(graph, op, numeric(graph, a), numeric(graph, b)),
  );
}

function comparison(name: string, op: string): TracedKernel {
  return kernel(name, (graph, { a, b }: Inputs<"a" | "b">) => {
    const shape = broadcastShape(a.shape, b.shape);
    return graph.emit(op, [numeric(graph, a), numeric(graph, b)], { shape, dtype: "bool" });
  });
}

function logical(name: string, op: string): TracedKernel {
  return kernel(name, (graph, { a, b }: Inputs<"a" | "b">) => {
    const shape = broadcastShape(a.shape, b.shape);
    return graph.emit(op, [graph.cast(a, "bool"), graph.cast(b, "bool")], { shape, dtype: "bool" });
  });
}

/** A float function. Integers are cast first, as TF.js does. */
const unary = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">) => same(graph, op, floating(graph, x)));

/** A function that keeps integers integers. */
const unaryAnyType = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">) => same(graph, op, numeric(graph, x)));

const predicate = (name: string, op: string): TracedKernel =>
  kernel(name, (graph, { x }: Inputs<"x">) =>
    graph.emit(op, [floating(graph, x)], { shape: x.shape, dtype: "bool" }),
  );

/** a - b * floor(a / b): the remainder has the sign of the divisor, in TF.js and in ONNX' integer Mod. */
function modulo(graph: GraphBuilder, a: Value, b: Value): Value {
  if (a.dtype !== "float32") return pair(graph, "Mod", numeric(graph, a), numeric(graph, b));
  const whole = same(graph, "Floor", pair(graph, "Div", a, b));
  return pair(graph, "Sub", a, pair(graph, "Mul", whole, b));
}

/** The angle of the point (b, a), from -pi to pi. */
function atan2(graph: GraphBuilder, a: Value, b: Value): Value {
  const zero = graph.scalar(0);
  const angle = same(graph, "Atan", pair(graph, "Div", a, b));
  const above = compare(graph, "GreaterOrEqual", a, zero);
  const halfTurn = select(graph, above, graph.scalar(Math.PI), graph.scalar(-Math.PI));
  const left = compare(graph, "Less", b, zero);
  const turned = select(graph, left, pair(graph, "Add", angle, halfTurn), angle);
  const origin = pair(graph, "And", compare(graph, "Equal", a, zero), compare(graph, "Equal", b, zero));
  return select(graph, origin, zero, turned);
}

const arithmeticKernels: readonly TracedKernel[] = [
  arithmetic(tf.Add, "Add"),
  arithmetic(tf.Sub, "Sub"),
  arithmetic(tf.Multiply, "Mul"),
  arithmetic(tf.Pow, "Pow"),
  arithmetic(tf.Maximum, "Max"),
  arithmetic(tf.Minimum, "Min"),
  kernel(tf.RealDiv, (graph, { a, b }: Inputs<"a" | "b">) =>
    pair(graph, "Div", floating(graph, a), floating(graph, b)),
  ),
  kernel(tf.Mod, (graph, { a, b }: Inputs<"a" | "b">) => modulo(graph, a, b)),
  kernel(tf.FloorDiv, (graph, { a, b }: Inputs<"a" | "b">) => {
    if (a.dtype === "float32") return same(graph, "Floor", pair(graph, "Div", a, b));
    // ONNX' integer Div rounds towards zero.
    return pair(graph, "Div", pair(graph, "Sub", a, modulo(graph, a, b)), b);
  }),
  kernel(tf.BitwiseAnd, (graph, { a, b }: Inputs<"a" | "b">) => pair(graph, "BitwiseAnd", a, b)),
  kernel(tf.Atan2, (graph, { a, b }: Inputs<"a" | "b">) =>
    atan2(graph, floating(graph, a), floating(graph, b)),
  ),
  kernel(tf.SquaredDifference, (graph, { a, b }: Inputs<"a" | "b">) => {
    const difference = pair(graph, "Sub", numeric(graph, a), numeric(graph, b));
    return pair(graph, "Mul", difference, difference);
  }),
  kernel(tf.AddN, (graph, inputs: Inputs<string>) => {
    const [first, ...rest] = Object.values(inputs);
    if (first === undefined) throw new RangeError("AddN of nothing");
    return rest.reduce((sum, next) => pair(graph, "Add", sum, next), first);
  }),
];

const comparisonKernels: readonly TracedKernel[] = [
  comparison(tf.Equal, "Equal"),
  kernel(tf.NotEqual, (graph, { a, b }: Inputs<"a" | "b">) =>
    same(graph, "Not", compare(graph, "Equal", numeric(graph, a), numeric(graph, b))),
  ),
  comparison(tf.Greater, "Greater"),
  comparison(tf.GreaterEqual, "GreaterOrEqual"),
  comparison(tf.Less, "Less"),
  comparison(tf.LessEqual, "LessOrEqual"),
  logical(tf.LogicalAnd, "And"),
  logical(tf.LogicalOr, "Or"),
  logical(tf.LogicalXor, "Xor"),
  kernel(tf.LogicalNot, (graph, { x }: Inputs<"x">) => same(graph, "Not", graph.cast(x, "bool"))),
  predicate(tf.IsNan, "IsNaN"),
  predicate(tf.IsInf, "IsInf"),
  kernel(tf.IsFinite, (graph, { x }: Inputs<"x">) => {
    // x - x is 0 for every finite number and NaN for all others.
    const real = floating(graph, x);
    const zero = pair(graph, "Sub", real, real);
    return same(graph, "Not", graph.emit("IsNaN", [zero], { shape: x.shape, dtype: "bool" }));
  }),
  kernel(tf.Select, (graph, { condition, t, e }: Inputs<"condition" | "t" | "e">) => {
    // TF.js lets a vector choose among rows.
    const trailing = Math.max(0, t.shape.length - condition.shape.length);
    const ones = condition.shape.length === 0 ? [] : Array.from({ length: trailing }, () => 1);
    const mask = graph.cast(graph.reshape(condition, [...condition.shape, ...ones]), "bool");
    return select(graph, mask, t, e);
  }),
];

const unaryKernels: readonly TracedKernel[] = [
  unary(tf.Exp, "Exp"),
  unary(tf.Log, "Log"),
  unary(tf.Sqrt, "Sqrt"),
  unary(tf.Erf, "Erf"),
  unary(tf.Tanh, "Tanh"),
  unary(tf.Sigmoid, "Sigmoid"),
  unary(tf.Softplus, "Softplus"),
  unary(tf.Sin, "Sin"),
  unary(tf.Cos, "Cos"),
  unary(tf.Tan, "Tan"),
  unary(tf.Asin, "Asin"),
  unary(tf.Acos, "Acos"),
  unary(tf.Atan, "Atan"),
  unary(tf.Sinh, "Sinh"),
  unary(tf.Cosh, "Cosh"),
  unary(tf.Asinh, "Asinh"),
  unary(tf.Acosh, "Acosh"),
  unary(tf.Atanh, "Atanh"),
  unary(tf.Elu, "Elu"),
  kernel(tf.Selu, (graph, { x }: Inputs<"x">) =>
    same(graph, "Selu", floating(graph, x), {
      alpha: float(tf.backend_util.SELU_SCALEALPHA / tf.backend_util.SELU_SCALE),
      gamma: float(tf.backend_util.SELU_SCALE),
    }),
  ),
  kernel(tf.EluGrad, (graph, { dy, y }: Inputs<"dy" | "y">) => {
    const [zero, one] = [graph.scalar(0), graph.scalar(1)];
    const slope = select(graph, compare(graph, "Less", y, zero), pair(graph, "Add", y, one), one);
    return pair(graph, "Mul", dy, slope);
  }),
  unary(tf.Floor, "Floor"),
  unary(tf.Ceil, "Ceil"),
  unary(tf.Round, "Round"),
  unary(tf.Reciprocal, "Reciprocal"),
  unaryAnyType(tf.Neg, "Neg"),
  unaryAnyType(tf.Abs, "Abs"),
  unaryAnyType(tf.Sign, "Sign"),
  kernel(tf.Relu, (graph, { x }: Inputs<"x">) => {
    const input = numeric(graph, x);
    return pair(graph, "Max", input, graph.scalar(0, input.dtype));
  }),
  kernel(tf.Relu6, (graph, { x }: Inputs<"x">) => clip(graph, numeric(graph, x), 0, 6)),
  kernel(tf.LeakyRelu, (graph, { x }: Inputs<"x">, { alpha }: tf.LeakyReluAttrs) =>
    same(graph, "LeakyRelu", floating(graph, x), { alpha: float(alpha) }),
  ),
  kernel(tf.Prelu, (graph, { x, alpha }: Inputs<"x" | "alpha">) => {
    const negative = compare(graph, "Less", x, graph.scalar(0));
    return select(graph, negative, pair(graph, "Mul", x, alpha), x);
  }),
  kernel(tf.Step, (graph, { x }: Inputs<"x">, { alpha }: tf.StepAttrs) => {
    const zero = graph.scalar(0);
    const positive = compare(graph, "Greater", x, zero);
    const step = select(graph, positive, graph.scalar(1), graph.scalar(alpha));
    const nan = graph.emit("IsNaN", [x], { shape: x.shape, dtype: "bool" });
    return select(graph, nan, x, step);
  }),
  kernel(tf.ClipByValue, (graph, { x }: Inputs<"x">, { clipValueMin, clipValueMax }: tf.ClipByValueAttrs) =>
    clip(graph, numeric(graph, x), clipValueMin, clipValueMax),
  ),
  kernel(tf.Square, (graph, { x }: Inputs<"x">) => pair(graph, "Mul", numeric(graph, x), numeric(graph, x))),
  kernel(tf.Rsqrt, (graph, { x }: Inputs<"x">) =>
    same(graph, "Reciprocal", same(graph, "Sqrt", floating(graph, x))),
  ),
  kernel(tf.Log1p, (graph, { x }: Inputs<"x">) => log1p(graph, floating(graph, x))),
  kernel(tf.Expm1, (graph, { x }: Inputs<"x">) => expm1(graph, floating(graph, x))),
  kernel(tf.Cast, (graph, { x }: Inputs<"x">, { dtype }: tf.CastAttrs) => graph.cast(x, tracedDtype(dtype))),
];

/** log(1 + x) without losing small x: x * log(u) / (u - 1) with u = 1 + x (Goldberg 1991, theorem 4). */
function log1p(graph: GraphBuilder, x: Value): Value {
  const one = graph.scalar(1);
  const u = pair(graph, "Add", x, one);
  const log = same(graph, "Log", u);
  const correction = pair(graph, "Div", x, pair(graph, "Sub", u, one));
  const corrected = pair(graph, "Mul", log, correction);
  const small = compare(graph, "Equal", u, one);
  const large = compare(graph, "Greater", x, graph.scalar(1e6));
  return select(graph, small, x, select(graph, large, log, corrected));
}

/** exp(x) - 1 without losing small x: 2 t / (1 - t) with t = tanh(x / 2). */
function expm1(graph: GraphBuilder, x: Value): Value {
  const one = graph.scalar(1);
  const t = same(graph, "Tanh", pair(graph, "Mul", x, graph.scalar(0.5)));
  const near = pair(graph, "Div", pair(graph, "Add", t, t), pair(graph, "Sub", one, t));
  const far = pair(graph, "Sub", same(graph, "Exp", x), one);
  const isNear = compare(graph, "Less", same(graph, "Abs", x), graph.scalar(0.5));
  return select(graph, isNear, near, far);
}

export const elementwiseKernels: readonly TracedKernel[] = [
  ...arithmeticKernels,
  ...comparisonKernels,
  ...unaryKernels,
];
