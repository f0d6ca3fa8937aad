/**
 * Mixed precision (Micikevicius et al. 2018): matrix products in float16, everything else in float32. Each operand is
 * cast where it enters a product and each product where it leaves it, so weights, moments, reductions, norms and the
 * loss never see float16.
 */
import type { GraphBuilder } from "../builder.ts";
import { floatAttribute, intAttribute, type Graph, type Node, type Value } from "../ir.ts";
import { positiveAxis } from "../shapes.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadNodes } from "./dead-nodes.ts";
import { rewrite, type Rule } from "./rewrite.ts";

const PRODUCTS: ReadonlySet<string> = new Set(["MatMul", "Gemm", "FusedMatMul"]);

/**
 * @param longestSum provided that products of longer vectors are cut, and their parts added in float32: a sum in float16 stands
 *   still once it is 2048 times what is added
 */
export function multiplyInHalf(graph: Graph, longestSum: number): Graph {
  const rule: Rule = (node, { graph: builder }) => {
    const [product] = node.outputs;
    if (!PRODUCTS.has(node.op) || product?.dtype !== "float32") return null;
    return [inHalf(builder, node, product, longestSum)];
  };
  return removeDeadNodes(mergeCommonSubexpressions(rewrite(graph, rule)));
}

function inHalf(graph: GraphBuilder, node: Node, product: Value, longestSum: number): Value {
  const [a, b, bias] = node.inputs;
  if (a === undefined || b === undefined) throw new RangeError(`${node.op} without operands`);
  const axisOfA = positiveAxis(intAttribute(node, "transA", 0) === 1 ? -2 : -1, a.shape.length);
  const axisOfB = positiveAxis(intAttribute(node, "transB", 0) === 1 ? -1 : -2, b.shape.length);
  const [halfA, halfB] = [graph.cast(a, "float16"), graph.cast(b, "float16")];
  const length = a.shape[axisOfA] ?? 1;
  const output = { shape: product.shape, dtype: "float16" } as const;
  let sum: Value | null = null;
  for (let start = 0; start < length; start += longestSum) {
    const stop = Math.min(start + longestSum, length);
    const inputs = [part(graph, halfA, axisOfA, start, stop), part(graph, halfB, axisOfB, start, stop)];
    const next = graph.cast(graph.emit(node.op, inputs, output, node), "float32");
    sum = sum === null ? next : graph.emit("Add", [sum, next], product);
  }
  if (sum === null) throw new RangeError(`${node.op} of nothing`);
  if (bias === undefined) return sum;
  const beta = floatAttribute(node, "beta", 1);
  const scaled = beta === 1 ? bias : graph.emit("Mul", [bias, graph.scalar(beta)], bias);
  return graph.emit("Add", [sum, scaled], product);
}

function part(graph: GraphBuilder, whole: Value, axis: number, start: number, stop: number): Value {
  if (stop - start === whole.shape[axis]) return whole;
  const shape = whole.shape.map((length, along) => (along === axis ? stop - start : length));
  const bounds = [graph.indices([start]), graph.indices([stop]), graph.indices([axis])];
  return graph.emit("Slice", [whole, ...bounds], { shape, dtype: whole.dtype });
}
