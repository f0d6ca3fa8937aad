/** Algebra on element-by-element operators: neutral operands, needless broadcasts, scalar factors. */
import { broadcastShape } from "../shapes.ts";
import { uniformValue, type GraphBuilder } from "../builder.ts";
import { float, floatAttribute, sameShape, sizeOf, type Graph, type Value } from "../ir.ts";
import { rewrite, type RewriteContext, type Rule } from "./rewrite.ts";

export function simplifyArithmetic(graph: Graph): Graph {
  return rewrite(graph, (node, context) => {
    for (const rule of RULES) {
      const replaced = rule(node, context);
      if (replaced !== null) return replaced;
    }
    return null;
  });
}

const BROADCASTING = new Set([
  ...["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "And", "Or"],
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"],
]);

/** An operand that was broadcast by hand is broadcast by the operator itself. */
const dropExpand: Rule = (node, { graph }) => {
  const [output] = node.outputs;
  if (output === undefined || !BROADCASTING.has(node.op)) return null;
  const inputs = [...node.inputs];
  for (const [i, input] of node.inputs.entries()) {
    const producer = graph.producerOf(input);
    const source = producer?.op === "Expand" ? producer.inputs[0] : undefined;
    if (source === undefined) continue;
    const others = inputs.filter((_, j) => j !== i).map(({ shape }) => shape);
    const shape = [source.shape, ...others].reduce(broadcastShape);
    if (sameShape(shape, output.shape)) inputs[i] = source;
  }
  if (inputs.every((input, i) => input === node.inputs[i])) return null;
  return [graph.emit(node.op, inputs, output, node)];
};

/** The value of a constant whose elements are all alike. */
function uniform(graph: GraphBuilder, value: Value): number | null {
  const data = graph.constantOf(value);
  return data === null ? null : uniformValue(data);
}

/** x + 0, x - 0, x * 1 and x / 1 are x. */
const dropNeutral: Rule = (node, { graph }) => {
  const [a, b] = node.inputs;
  const [output] = node.outputs;
  if (a === undefined || b === undefined || output === undefined) return null;
  const neutral = NEUTRAL[node.op];
  if (neutral === undefined) return null;
  if (sameShape(a.shape, output.shape) && uniform(graph, b) === neutral.number) return [a];
  if (neutral.commutes && sameShape(b.shape, output.shape) && uniform(graph, a) === neutral.number)
    return [b];
  return null;
};

const NEUTRAL: Readonly<Record<string, { readonly number: number; readonly commutes: boolean }>> = {
  Add: { number: 0, commutes: true },
  Sub: { number: 0, commutes: false },
  Mul: { number: 1, commutes: true },
  Div: { number: 1, commutes: false },
};

/** a + (-b) is a - b, and a - (-b) is a + b. */
const absorbNegation: Rule = (node, { graph, uses }) => {
  const [a, b] = node.inputs;
  const [output] = node.outputs;
  if (a === undefined || b === undefined || output === undefined) return null;
  if (node.op !== "Add" && node.op !== "Sub") return null;
  const negated = (value: Value): Value | null => {
    const producer = graph.producerOf(value);
    return producer?.op === "Neg" && uses(value) === 1 ? (producer.inputs[0] ?? null) : null;
  };
  const fromB = negated(b);
  if (fromB !== null) return [graph.emit(node.op === "Add" ? "Sub" : "Add", [a, fromB], output)];
  const fromA = node.op === "Add" ? negated(a) : null;
  return fromA === null ? null : [graph.emit("Sub", [b, fromA], output)];
};

/** x / c is x * (1 / c): a division costs several multiplications. */
const multiplyByReciprocal: Rule = (node, { graph }) => {
  const [a, b] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== "Div" || a === undefined || b === undefined || output?.dtype !== "float32") return null;
  const divisor = sizeOf(b.shape) === 1 ? uniform(graph, b) : null;
  if (divisor === null || divisor === 0 || graph.constantOf(a) !== null) return null;
  const reciprocal = graph.constant(Float32Array.of(1 / divisor), b);
  return [graph.emit("Mul", [a, reciprocal], output)];
};

interface ScaledValue {
  readonly value: Value;
  readonly factor: number;
}

/** `value` taken apart, if it is something times a constant number and needed nowhere else. */
function scaled(value: Value, { graph, uses }: RewriteContext): ScaledValue | null {
  const producer = graph.producerOf(value);
  const [a, b] = producer?.inputs ?? [];
  if (producer?.op !== "Mul" || uses(value) !== 1 || a === undefined || b === undefined) return null;
  const [source, number] = graph.constantOf(a) === null ? [a, b] : [b, a];
  if (sizeOf(number.shape) !== 1 || !sameShape(source.shape, value.shape)) return null;
  const factor = uniform(graph, number);
  return factor === null ? null : { value: source, factor };
}

/** (x * c) * d is x * (c d). */
const mergeFactors: Rule = (node, context) => {
  const { graph } = context;
  const [a, b] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== "Mul" || a === undefined || b === undefined || output === undefined) return null;
  for (const [x, number] of [
    [a, b],
    [b, a],
  ] as const) {
    const outer = sizeOf(number.shape) === 1 ? uniform(graph, number) : null;
    const inner = outer === null ? null : scaled(x, context);
    if (inner === null || outer === null || output.dtype !== "float32") continue;
    if (sameShape(x.shape, output.shape)) {
      return [graph.emit("Mul", [inner.value, graph.scalar(outer * inner.factor)], output)];
    }
  }
  return null;
};

/** (x c) y^T is a product with alpha = c. */
const scaleProduct: Rule = (node, context) => {
  const { graph } = context;
  const [a, b, ...rest] = node.inputs;
  const [output] = node.outputs;
  if (a === undefined || b === undefined || output === undefined || rest.length > 0) return null;
  if (node.op !== "MatMul" && node.op !== "FusedMatMul") return null;
  const fromA = scaled(a, context);
  const fromB = scaled(b, context);
  if (fromA === null && fromB === null) return null;
  const alpha = floatAttribute(node, "alpha", 1) * (fromA?.factor ?? 1) * (fromB?.factor ?? 1);
  const attributes = { ...node.attributes, alpha: float(alpha) };
  const inputs = [fromA?.value ?? a, fromB?.value ?? b];
  return [graph.emit("FusedMatMul", inputs, output, { attributes, domain: "com.microsoft" })];
};

/** sum(x^2) in one operator. */
const sumOfSquares: Rule = (node, { graph, uses }) => {
  const [x, axes] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== "ReduceSum" || x === undefined || axes === undefined || output === undefined) return null;
  const square = graph.producerOf(x);
  const [a, b] = square?.inputs ?? [];
  if (square?.op !== "Mul" || a === undefined || a !== b || uses(x) !== 1) return null;
  return [graph.emit("ReduceSumSquare", [a, axes], output, node)];
};

/** A sum or mean over axes of length 1 is a reshape. */
const dropReduction: Rule = (node, { graph }) => {
  const [x] = node.inputs;
  const [output] = node.outputs;
  if (x === undefined || output === undefined || !/^Reduce(Sum|Mean|Max|Min|Prod)$/.test(node.op))
    return null;
  return sizeOf(x.shape) === sizeOf(output.shape) && sizeOf(x.shape) > 0
    ? [graph.reshape(x, output.shape)]
    : null;
};

/**
 * ONNX Runtime 1.30 goes element by element, forty times slower, where a tensor whose last axis has length 1 meets a
 * scalar of lower rank; of the same rank it does not.
 */
const raiseScalar: Rule = (node, { graph }) => {
  const [output] = node.outputs;
  if (output === undefined || !BROADCASTING.has(node.op)) return null;
  if (output.shape.at(-1) !== 1 || sizeOf(output.shape) === 1) return null;
  const ones = output.shape.map(() => 1);
  const inputs = node.inputs.map((input) => {
    if (sizeOf(input.shape) !== 1 || input.shape.length === ones.length) return input;
    const data = graph.constantOf(input);
    return data === null
      ? graph.reshape(input, ones)
      : graph.constant(data, { shape: ones, dtype: input.dtype });
  });
  if (inputs.every((input, i) => input === node.inputs[i])) return null;
  return [graph.emit(node.op, inputs, output, node)];
};

const RULES: readonly Rule[] = [
  dropExpand,
  dropNeutral,
  absorbNegation,
  multiplyByReciprocal,
  mergeFactors,
  scaleProduct,
  sumOfSquares,
  dropReduction,
  raiseScalar,
];
