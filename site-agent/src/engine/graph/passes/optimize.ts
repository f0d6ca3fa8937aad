/** All passes, again and again until none finds anything more. */
import type { Graph } from "../ir.ts";
import { simplifyArithmetic } from "./arithmetic.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadNodes } from "./dead-nodes.ts";
import { foldConstants } from "./fold-constants.ts";
import { cancelMoves } from "./moves.ts";

const PASSES = [cancelMoves, simplifyArithmetic, foldConstants, mergeCommonSubexpressions, removeDeadNodes];

/** Each round can open the way for the next; more than a few never did. */
const MAX_ROUNDS = 8;

export function optimize(graph: Graph): Graph {
  let current = removeDeadNodes(graph);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = current;
    current = PASSES.reduce((input, pass) => pass(input), before);
    if (sameNodes(before, current)) break;
  }
  return current;
}

const sameNodes = (a: Graph, b: Graph): boolean =>
  a.nodes.length === b.nodes.length && a.nodes.every((node, i) => node.op === b.nodes[i]?.op);
