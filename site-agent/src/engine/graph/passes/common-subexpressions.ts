/** Merges nodes that compute the same from the same, and constants with the same content. */
import type { ConstantData, Graph, Node, Value } from "../ir.ts";
import { rewrite } from "./rewrite.ts";

export function mergeCommonSubexpressions(graph: Graph): Graph {
  const constants = mergedConstants(graph);
  const seen = new Map<string, readonly Value[]>();
  return rewrite(graph, (node, context) => {
    const inputs = node.inputs.map((input) => constants.get(input) ?? input);
    const key = describe(node, inputs);
    const known = seen.get(key);
    if (known !== undefined) return known;
    if (inputs.some((input, i) => input !== node.inputs[i])) context.graph.adoptNode({ ...node, inputs });
    seen.set(key, node.outputs);
    return inputs.some((input, i) => input !== node.inputs[i]) ? node.outputs : null;
  });
}

function describe(node: Node, inputs: readonly Value[]): string {
  const attributes = Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([node.domain, node.op, inputs.map(({ id }) => id), attributes, node.outputs.length]);
}

/** For each constant the first one with the same type, shape and bytes. */
function mergedConstants(graph: Graph): Map<Value, Value> {
  const buckets = new Map<string, [Value, ConstantData][]>();
  const merged = new Map<Value, Value>();
  for (const [value, data] of graph.constants) {
    const key = `${value.dtype} ${value.shape.join()} ${[...data.subarray(0, 8)].join()}`;
    const bucket = buckets.get(key) ?? [];
    buckets.set(key, bucket);
    const twin = bucket.find(([, other]) => sameBytes(data, other));
    if (twin === undefined) bucket.push([value, data]);
    else merged.set(value, twin[0]);
  }
  return merged;
}

function sameBytes(a: ConstantData, b: ConstantData): boolean {
  return (
    Buffer.compare(
      Buffer.from(a.buffer, a.byteOffset, a.byteLength),
      Buffer.from(b.buffer, b.byteOffset, b.byteLength),
    ) === 0
  );
}
