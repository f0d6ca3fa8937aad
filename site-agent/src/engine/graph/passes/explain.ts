/** What the passes over a graph buy. */
import type { Graph } from "../ir.ts";
import { PASSES, optimize } from "./optimize.ts";

export interface Explanation {
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  /** By the pass's name: the nodes that would be left over without it, all others running. */
  readonly boughtBy: ReadonlyMap<string, number>;
}

/** @param graph as it was traced */
export function explain(graph: Graph): Explanation {
  const nodesAfter = optimize(graph).nodes.length;
  const bought = Object.entries(PASSES).map(([name, pass]): [string, number] => {
    const others = Object.values(PASSES).filter((other) => other !== pass);
    return [name, optimize(graph, others).nodes.length - nodesAfter];
  });
  return { nodesBefore: graph.nodes.length, nodesAfter, boughtBy: new Map(bought) };
}
