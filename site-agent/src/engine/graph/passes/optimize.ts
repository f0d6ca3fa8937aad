/** All passes, again and again until none finds anything more. */
import type { Graph } from "../ir.ts";
import { simplifyArithmetic } from "./arithmetic.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadNodes } from "./dead-nodes.ts";
import { foldConstants } from "./fold-constants.ts";
import { cancelMoves } from "./moves.ts";

export type Pass = (graph: Graph) => Graph;

/** In the order in which they run. */
export const PASSES: Readonly<Record<string, Pass>> = {
  "cancelled moves": cancelMoves,
  "simplified arithmetic": simplifyArithmetic,
  "folded constants": foldConstants,
  "merged subexpressions": mergeCommonSubexpressions,
  "removed dead nodes": removeDeadNodes,
};

/** Each round can open the way for the next; more than a few never did. */
const MAX_ROUNDS = 8;

export function optimize(graph: Graph, passes: readonly Pass[] = Object.values(PASSES)): Graph {
  // Nodes that nobody needs would only keep the other passes busy.
  let current = passes.includes(removeDeadNodes) ? removeDeadNodes(graph) : graph;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = current;
    current = passes.reduce((input, pass) => pass(input), before);
    if (sameNodes(before, current)) break;
  }
  return current;
}

const sameNodes = (a: Graph, b: Graph): boolean =>
  a.nodes.length === b.nodes.length && a.nodes.every((node, i) => node.op === b.nodes[i]?.op);
