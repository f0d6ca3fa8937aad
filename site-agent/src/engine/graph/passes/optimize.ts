/** All passes, in the order in which they help each other. */
import type { Graph } from "../ir.ts";
import { removeDeadNodes } from "./dead-nodes.ts";

export function optimize(graph: Graph): Graph {
  return removeDeadNodes(graph);
}
