/** Writes ONNX Runtime's own operators with those of the ONNX standard, for files that other programs read. */
import type { GraphBuilder } from "../builder.ts";
import { floatAttribute, intAttribute, ints, type Graph, type Node, type Value } from "../ir.ts";
import { rewrite, type Rule } from "./rewrite.ts";

const RULES: Readonly<Record<string, Rule>> = {
  /** The same operator, in the standard since opset 20. */
  Gelu: ({ domain, inputs: [x] }, { graph }) =>
    domain === "" || x === undefined ? null : [graph.emit("Gelu", [x], x)],

  FusedMatMul: (node, { graph }) => {
    const [a, b] = node.inputs;
    const [output] = node.outputs;
    if (a === undefined || b === undefined || output === undefined) return null;
    const product = graph.emit(
      "MatMul",
      [turned(graph, node, "transA", a), turned(graph, node, "transB", b)],
      output,
    );
    const alpha = floatAttribute(node, "alpha", 1);
    return [alpha === 1 ? product : graph.emit("Mul", [product, graph.scalar(alpha)], output)];
  },
};

export const standardOperators = (graph: Graph): Graph =>
  rewrite(graph, (node, context) => RULES[node.op]?.(node, context) ?? null);

/** With the last two axes swapped where the node's attribute asks for it. */
function turned(graph: GraphBuilder, node: Node, attribute: "transA" | "transB", x: Value): Value {
  if (intAttribute(node, attribute, 0) === 0) return x;
  const axes = x.shape.map((_, axis) => axis);
  const perm = [...axes.slice(0, -2), axes.length - 1, axes.length - 2];
  const shape = perm.map((axis) => x.shape[axis] ?? 1);
  return graph.emit("Transpose", [x], { shape, dtype: x.dtype }, { attributes: { perm: ints(perm) } });
}
