/** Element-by-element operators in float64. */
import { floatAttribute, type Node } from "../ir.ts";
import { broadcast, generate, read, type ArraySpec, type NdArray } from "./array.ts";

export type Operator = (inputs: readonly NdArray[], outputs: readonly ArraySpec[], node: Node) => NdArray[];

export function operand(inputs: readonly NdArray[], index: number): NdArray {
  const array = inputs[index];
  if (array === undefined) throw new RangeError(`operand ${index} is missing`);
  return array;
}

export function only(outputs: readonly ArraySpec[]): ArraySpec {
  const [output] = outputs;
  if (output === undefined) throw new RangeError("an operator without output");
  return output;
}

type NodelessOperator = (inputs: readonly NdArray[], outputs: readonly ArraySpec[]) => NdArray[];

const unary =
  (compute: (x: number) => number): NodelessOperator =>
  (inputs, outputs) => {
    const x = operand(inputs, 0);
    return [generate(only(outputs), (i) => compute(read(x, i)))];
  };

const binary =
  (compute: (a: number, b: number) => number): Operator =>
  (inputs, outputs) => {
    const output = only(outputs);
    const a = broadcast(operand(inputs, 0), output.shape);
    const b = broadcast(operand(inputs, 1), output.shape);
    const whole = output.dtype === "int32" || output.dtype === "int64";
    return [
      generate(output, (i) => {
        const value = compute(read(a, i), read(b, i));
        // Integer division rounds towards zero.
        return whole ? Math.trunc(value) : value;
      }),
    ];
  };

const test = (holds: (a: number, b: number) => boolean): Operator => binary((a, b) => (holds(a, b) ? 1 : 0));

/** All terms have the sign of x, so nothing cancels: erf(x) = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!. */
export function erf(x: number): number {
  if (Number.isNaN(x) || Math.abs(x) > 6) return Number.isNaN(x) ? NaN : Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const roundHalfToEven = (x: number): number => {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
};

const modulo = (a: number, b: number): number => a - b * Math.floor(a / b);

export const elementwiseOperators: Readonly<Record<string, Operator>> = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: binary((a, b) => a / b),
  Pow: binary((a, b) => a ** b),
  Max: binary(Math.max),
  Min: binary(Math.min),
  Mod: binary(modulo),
  Equal: test((a, b) => a === b),
  Greater: test((a, b) => a > b),
  GreaterOrEqual: test((a, b) => a >= b),
  Less: test((a, b) => a < b),
  LessOrEqual: test((a, b) => a <= b),
  And: test((a, b) => a !== 0 && b !== 0),
  Or: test((a, b) => a !== 0 || b !== 0),
  Xor: test((a, b) => (a !== 0) !== (b !== 0)),
  BitwiseAnd: binary((a, b) => a & b),
  Not: unary((x) => (x === 0 ? 1 : 0)),
  IsNaN: unary((x) => (Number.isNaN(x) ? 1 : 0)),
  IsInf: unary((x) => (Math.abs(x) === Infinity ? 1 : 0)),
  Where: (inputs, outputs) => {
    const output = only(outputs);
    const [condition, yes, no] = [0, 1, 2].map((i) => broadcast(operand(inputs, i), output.shape));
    if (condition === undefined || yes === undefined || no === undefined) throw new RangeError("Where");
    return [generate(output, (i) => (read(condition, i) === 0 ? read(no, i) : read(yes, i)))];
  },
  Clip: (inputs, outputs) => {
    const [low, high] = [read(operand(inputs, 1), 0), read(operand(inputs, 2), 0)];
    return unary((x) => Math.min(Math.max(x, low), high))(inputs, outputs);
  },
  Cast: (inputs, outputs) => {
    const x = operand(inputs, 0);
    const output = only(outputs);
    switch (output.dtype) {
      case "bool":
        return [generate(output, (i) => (read(x, i) === 0 ? 0 : 1))];
      case "float32":
      case "float16":
        return [generate(output, (i) => read(x, i))];
      default:
        return [generate(output, (i) => Math.trunc(read(x, i)))];
    }
  },
  Identity: unary((x) => x),
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Sign: unary(Math.sign),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Erf: unary(erf),
  Gelu: unary((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2))),
  Tanh: unary(Math.tanh),
  Sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  Softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  Relu: unary((x) => Math.max(x, 0)),
  Elu: unary((x) => (x > 0 ? x : Math.expm1(x))),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tan: unary(Math.tan),
  Asin: unary(Math.asin),
  Acos: unary(Math.acos),
  Atan: unary(Math.atan),
  Sinh: unary(Math.sinh),
  Cosh: unary(Math.cosh),
  Asinh: unary(Math.asinh),
  Acosh: unary(Math.acosh),
  Atanh: unary(Math.atanh),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(roundHalfToEven),
  Selu: (inputs, outputs, node) => {
    const [alpha, gamma] = [floatAttribute(node, "alpha", 1.67326), floatAttribute(node, "gamma", 1.0507)];
    return unary((x) => gamma * (x > 0 ? x : alpha * Math.expm1(x)))(inputs, outputs);
  },
  LeakyRelu: (inputs, outputs, node) => {
    const alpha = floatAttribute(node, "alpha", 0.01);
    return unary((x) => (x < 0 ? alpha * x : x))(inputs, outputs);
  },
};
