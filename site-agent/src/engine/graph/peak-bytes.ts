/** An estimate of what a graph needs while it runs, from which value is needed until when. */
import { sizeOf, type Dtype, type Graph, type Node, type Value } from "./ir.ts";

const ELEMENT_BYTES: Readonly<Record<Dtype, number>> = {
  float32: 4,
  float16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
};

export const byteLength = ({ shape, dtype }: Value): number => sizeOf(shape) * ELEMENT_BYTES[dtype];

/** These hand on the memory of their first input. */
const ALIASES = new Set(["Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"]);

/** These may write over an input of the same size that nothing else needs. */
const IN_PLACE = new Set([
  ...["Add", "Sub", "Mul", "Div", "Sqrt", "Exp", "Neg", "Erf", "Tanh", "Sigmoid", "Relu", "Abs", "Log"],
  ...["Reciprocal", "Softmax", "Clip", "Cast"],
]);

/**
 * Bytes of the intermediate values that are alive together at the worst moment, if nodes run in the order in which
 * they are listed. Inputs, outputs and constants are not counted: others hold them.
 */
export function peakBytes(graph: Graph): number {
  const held = new Set<Value>();
  for (const { value } of graph.inputs) held.add(value);
  for (const { value } of graph.outputs) held.add(value);
  for (const value of graph.constants.keys()) held.add(value);
  const owner = memoryOwners(graph.nodes);
  for (const value of [...held]) held.add(owner(value));

  const lastUse = new Map<Value, number>();
  graph.nodes.forEach((node, at) => {
    for (const value of [...node.outputs, ...node.inputs]) lastUse.set(owner(value), at);
  });
  let now = 0;
  let peak = 0;
  graph.nodes.forEach((node, at) => {
    const dying = new Set(
      node.inputs.map(owner).filter((value) => lastUse.get(value) === at && !held.has(value)),
    );
    const made = node.outputs.filter((output) => owner(output) === output && !held.has(output));
    const taken = [...dying].find((value) => byteLength(value) === byteLength(made[0] ?? value));
    const inPlace = IN_PLACE.has(node.op) && made.length === 1 && taken !== undefined;
    const added = made.reduce((sum, output) => sum + byteLength(output), 0);
    now += inPlace ? 0 : added;
    peak = Math.max(peak, now);
    for (const value of dying) if (!(inPlace && value === taken)) now -= byteLength(value);
    for (const output of made) if (lastUse.get(output) === at) now -= byteLength(output);
  });
  return peak;
}

/** Which value's memory a value lies in: its own, or that of what it is another shape of. */
export function memoryOwners(nodes: readonly Node[]): (value: Value) => Value {
  const owners = new Map<Value, Value>();
  for (const { op, inputs, outputs } of nodes) {
    const [source] = inputs;
    const [output] = outputs;
    if (!ALIASES.has(op) || source === undefined || output === undefined) continue;
    owners.set(output, owners.get(source) ?? source);
  }
  return (value) => owners.get(value) ?? value;
}
