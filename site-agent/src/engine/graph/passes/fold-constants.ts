/** Computes, once and for all, what depends on constants only. */
import { arrayOf } from "../builder.ts";
import { canInterpret, interpretNode, toArray } from "../interpret/interpret.ts";
import { sizeOf, type Graph } from "../ir.ts";
import { rewrite } from "./rewrite.ts";

/** Larger results stay computed: the model would grow, and a broadcast costs little at run time. */
const LARGEST_RESULT = 4096;

export function foldConstants(graph: Graph): Graph {
  return rewrite(graph, (node, { graph: builder }) => {
    if (node.inputs.length === 0 || !canInterpret(node)) return null;
    if (node.outputs.some((output) => sizeOf(output.shape) > LARGEST_RESULT)) return null;
    const inputs = [];
    for (const input of node.inputs) {
      const data = builder.constantOf(input);
      if (data === null) return null;
      inputs.push(toArray(input, data));
    }
    const results = interpretNode(node, inputs);
    return node.outputs.map((output, i) =>
      builder.constant(arrayOf(output.dtype, results[i]?.data ?? []), output),
    );
  });
}
