/** Whether a graph's output may lie in the memory of one of its inputs. */
import { IN_PLACE, SHARES_MEMORY } from "./memory.ts";
import { sameShape, type Graph, type Node, type Value } from "./ir.ts";

/**
 * Pairs of inputs and outputs for which this is safe in whatever order nodes run: the last to read the input is the
 * node that makes the output, element by element, and everyone else who reads it is needed by that node.
 * @param pairs values of the graph's inputs and outputs
 */
export function overwritable<Pair extends { readonly input: Value; readonly output: Value }>(
  graph: Graph,
  pairs: readonly Pair[],
): Pair[] {
  const producers = new Map<Value, Node>();
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) producers.set(output, node);
    for (const input of new Set(node.inputs)) readers.set(input, [...(readers.get(input) ?? []), node]);
  }
  return pairs.filter(({ input, output }) => {
    const maker = producers.get(output);
    if (maker === undefined || !IN_PLACE.has(maker.op) || !sameShape(input.shape, output.shape)) return false;
    const needed = ancestors(maker, producers);
    return readersOf(input, readers).every((node) => node === maker || needed.has(node));
  });
}

/** Those of the value and of whatever else lies in its memory. */
function readersOf(value: Value, readers: ReadonlyMap<Value, readonly Node[]>): Node[] {
  return (readers.get(value) ?? []).flatMap((node) => [
    node,
    ...(SHARES_MEMORY.has(node.op) ? node.outputs.flatMap((output) => readersOf(output, readers)) : []),
  ]);
}

function ancestors(node: Node, producers: ReadonlyMap<Value, Node>): ReadonlySet<Node> {
  const found = new Set<Node>();
  const open = [node];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const input of next.inputs) {
      const producer = producers.get(input);
      if (producer === undefined || found.has(producer)) continue;
      found.add(producer);
      open.push(producer);
    }
  }
  return found;
}
