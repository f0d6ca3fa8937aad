/**
 * Makes ONNX Runtime run nodes in the order in which they are listed, where that saves memory.
 *
 * ONNX Runtime walks back from the nodes that nobody uses, the last one in the file first, and puts each node right
 * before what needs it. A weight's gradient, which only the optimiser needs, would so come after the whole backward
 * pass, and keep its operands in memory until then. A node without users behind each such gradient calls for it in
 * time: `Size`, which looks at no element.
 */
import type { Graph, Node, Value } from "./ir.ts";
import { byteLength, memoryOwners } from "./memory.ts";

/** Smaller savings are not worth a node. */
const LEAST_BYTES = 1 << 14;

export function holdOrder(graph: Graph): Graph {
  const owner = memoryOwners(graph.nodes);
  const held = new Set([...graph.inputs, ...graph.outputs].map(({ value }) => owner(value)));
  for (const value of graph.constants.keys()) held.add(value);
  const firstUse = new Map<Value, number>();
  const lastUse = new Map<Value, number>();
  graph.nodes.forEach((node, at) => {
    for (const value of new Set(node.inputs.map(owner))) {
      if (!node.outputs.some((output) => owner(output) === value) && !firstUse.has(value))
        firstUse.set(value, at);
      lastUse.set(value, at);
    }
  });
  let id = Math.max(...graph.nodes.flatMap(({ outputs }) => outputs.map((output) => output.id))) + 1;
  const calls: Node[] = [];
  for (const node of graph.nodes) {
    const [output] = node.outputs;
    if (output === undefined || owner(output) !== output || held.has(output)) continue;
    const until = Math.min(...node.outputs.map((value) => firstUse.get(value) ?? Infinity));
    const prolonged = [...new Set(node.inputs.map(owner))]
      .filter((value) => (lastUse.get(value) ?? 0) < until && !held.has(value))
      .reduce((sum, value) => sum + byteLength(value), 0);
    const made = node.outputs.reduce((sum, value) => sum + byteLength(value), 0);
    if (prolonged - made < LEAST_BYTES) continue;
    const size: Value = { id: id++, dtype: "int64", shape: [] };
    calls.push({ op: "Size", domain: "", inputs: [output], outputs: [size], attributes: {} });
  }
  return { ...graph, nodes: [...graph.nodes, ...calls.reverse()] };
}
