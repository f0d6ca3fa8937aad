/**
 * Evaluates a graph in float64 JavaScript: slow and exact. Constant folding computes with it, and tests take finite
 * differences of a traced loss where float32 would drown them in rounding.
 */
import { roundToHalf } from "../half.ts";
import type { ConstantData, Graph, Node, Value } from "../ir.ts";
import type { NdArray } from "./array.ts";
import { elementwiseOperators, type Operator } from "./elementwise.ts";
import { moveOperators } from "./moves.ts";
import { productOperators } from "./products.ts";
import { reductionOperators } from "./reductions.ts";
import { windowOperators } from "./windows.ts";

const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries({
    ...elementwiseOperators,
    ...reductionOperators,
    ...productOperators,
    ...moveOperators,
    ...windowOperators,
  }),
);

export const canInterpret = (node: Node): boolean => OPERATORS.has(node.op);

export function toArray(value: Value, data: ConstantData | Float64Array): NdArray {
  return { shape: value.shape, dtype: value.dtype, data: Float64Array.from(data) };
}

export function interpretNode(node: Node, inputs: readonly NdArray[]): NdArray[] {
  const operator = OPERATORS.get(node.op);
  if (operator === undefined) throw new RangeError(`the interpreter does not know ${node.op}`);
  return operator(inputs, node.outputs, node).map(rounded);
}

/** float16 is as coarse here as elsewhere, or nothing could be learnt of it. */
function rounded(array: NdArray): NdArray {
  return array.dtype === "float16" ? { ...array, data: array.data.map(roundToHalf) } : array;
}

/**
 * @param inputs by name
 * @returns outputs by name
 */
export function interpret(
  graph: Graph,
  inputs: Readonly<Record<string, ArrayLike<number>>>,
): Record<string, NdArray> {
  const known = new Map<Value, NdArray>();
  for (const [value, data] of graph.constants) known.set(value, toArray(value, data));
  for (const { name, value } of graph.inputs) {
    const given = inputs[name];
    if (given === undefined) throw new RangeError(`input ${name} is missing`);
    known.set(value, toArray(value, Float64Array.from(given)));
  }
  const get = (value: Value): NdArray => {
    const array = known.get(value);
    if (array === undefined) throw new RangeError(`value ${value.id} is used before it is made`);
    return array;
  };
  for (const node of graph.nodes) {
    const results = interpretNode(node, node.inputs.map(get));
    node.outputs.forEach((output, i) => {
      const result = results[i];
      if (result !== undefined) known.set(output, result);
    });
  }
  return Object.fromEntries(graph.outputs.map(({ name, value }) => [name, get(value)]));
}
