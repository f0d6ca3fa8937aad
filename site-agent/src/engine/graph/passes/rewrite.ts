/** Walks a graph once and lets a rule replace nodes; the passes are such rules. */
import { GraphBuilder } from "../builder.ts";
import type { Graph, Node, Value } from "../ir.ts";

export interface RewriteContext {
  /** The graph built so far. New nodes are appended to it. */
  readonly graph: GraphBuilder;
  /** How often the original graph uses a value, outputs included. */
  readonly uses: (value: Value) => number;
}

/**
 * Looks at one node, whose inputs are already rewritten.
 * @returns values to use instead of the node's outputs, of the same shapes and dtypes; null keeps the node
 */
export type Rule = (node: Node, context: RewriteContext) => readonly Value[] | null;

export function rewrite(graph: Graph, rule: Rule): Graph {
  const builder = new GraphBuilder(firstFreeId(graph));
  for (const input of graph.inputs) builder.adoptInput(input);
  for (const [value, data] of graph.constants) builder.adoptConstant(value, data);
  const uses = countUses(graph);
  const context = { graph: builder, uses: (value: Value) => uses.get(value) ?? 0 };
  const replacements = new Map<Value, Value>();
  const current = (value: Value): Value => replacements.get(value) ?? value;

  for (const original of graph.nodes) {
    const inputs = original.inputs.map(current);
    const node = { ...original, inputs };
    const replaced = rule(node, context);
    if (replaced === null) {
      builder.adoptNode(node);
      continue;
    }
    original.outputs.forEach((output, i) => {
      const value = replaced[i];
      if (value === undefined) throw new RangeError(`a rule dropped output ${i} of ${node.op}`);
      replacements.set(output, value);
    });
  }
  return builder.build(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}

function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const count = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(count);
  for (const { value } of graph.outputs) count(value);
  return uses;
}

function firstFreeId(graph: Graph): number {
  let last = -1;
  for (const { value } of graph.inputs) last = Math.max(last, value.id);
  for (const { id } of graph.constants.keys()) last = Math.max(last, id);
  for (const node of graph.nodes) for (const { id } of node.outputs) last = Math.max(last, id);
  return last + 1;
}
