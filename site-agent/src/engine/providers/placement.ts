/** Which operators of a graph a provider cannot run itself. */
import type { Graph, Node, Value } from "../graph/ir.ts";

/**
 * Compiles one node of each kind (operator and types) by itself; ONNX Runtime does not tell which ones it would move.
 * @param compiles whether a provider takes a graph without help from another
 * @returns kinds such as `Round(float32)`, with how many nodes of the graph are of that kind
 */
export async function unplacedKinds(
  graph: Graph,
  compiles: (graph: Graph) => Promise<boolean>,
): Promise<ReadonlyMap<string, number>> {
  const kinds = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    const kind = kindOf(node);
    const known = kinds.get(kind);
    if (known === undefined) kinds.set(kind, [node]);
    else known.push(node);
  }
  const unplaced = new Map<string, number>();
  for (const [kind, nodes] of kinds) {
    const [first] = nodes;
    if (first !== undefined && !(await compiles(alone(first, graph)))) unplaced.set(kind, nodes.length);
  }
  return unplaced;
}

const kindOf = ({ op, inputs }: Node): string => `${op}(${inputs.map(({ dtype }) => dtype).join(", ")})`;

/** The node as a graph: constants stay constants, for shapes and axes have to be. */
function alone(node: Node, { constants }: Graph): Graph {
  const operands = [...new Set(node.inputs)];
  const named = (values: readonly Value[], kind: string) =>
    values.map((value, i) => ({ name: `${kind}${i}`, value }));
  return {
    inputs: named(
      operands.filter((value) => !constants.has(value)),
      "input",
    ),
    constants: new Map(operands.flatMap((value) => entryOf(constants, value))),
    nodes: [node],
    outputs: named(node.outputs, "output"),
  };
}

function entryOf<Key, Item>(items: ReadonlyMap<Key, Item>, key: Key): [Key, Item][] {
  const item = items.get(key);
  return item === undefined ? [] : [[key, item]];
}
