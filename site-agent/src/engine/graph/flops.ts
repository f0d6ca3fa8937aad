/** Work of a graph, for benchmarks. */
import { intAttribute, sizeOf, type Graph } from "./ir.ts";

/** Floating-point operations of all matrix products in one run: two for each multiplication with addition. */
export function matrixFlops(graph: Graph): number {
  let flops = 0;
  for (const node of graph.nodes) {
    const [a] = node.inputs;
    const [output] = node.outputs;
    if (!/^(Gemm|MatMul|FusedMatMul)$/.test(node.op) || a === undefined || output === undefined) continue;
    const depth = a.shape.at(intAttribute(node, "transA", 0) === 1 ? -2 : -1) ?? 1;
    flops += 2 * depth * sizeOf(output.shape);
  }
  return flops;
}
