/** An estimate of what a graph needs while it runs, from which value is needed until when. */
import type { Graph, Value } from "./ir.ts";
import { IN_PLACE, byteLength, memoryOwners } from "./memory.ts";

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
