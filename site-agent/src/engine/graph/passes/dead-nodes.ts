/** Removes nodes and constants that no output needs. */
import type { Graph, Node, Value } from "../ir.ts";

export function removeDeadNodes(graph: Graph): Graph {
  const needed = new Set<Value>(graph.outputs.map(({ value }) => value));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    nodes.push(node);
    for (const input of node.inputs) needed.add(input);
  }
  return {
    ...graph,
    constants: new Map([...graph.constants].filter(([value]) => needed.has(value))),
    nodes: nodes.reverse(),
  };
}
