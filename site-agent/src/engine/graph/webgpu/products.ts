/** Matrix products: FusedMatMul becomes transposes and MatMul. */
import type { GraphBuilder } from "../builder.ts";
import { floatAttribute, intAttribute, ints, type Node, type Value } from "../ir.ts";
import type { Rule } from "../passes/rewrite.ts";

export const productRules: Readonly<Record<string, Rule>> = {
  FusedMatMul: (node, { graph }) => {
    const [a, b] = node.inputs;
    const [product] = node.outputs;
    if (a === undefined || b === undefined || product === undefined) return null;
    const factors = [oriented(graph, node, "transA", a), oriented(graph, node, "transB", b)];
    const plain = graph.emit("MatMul", factors, product);
    const alpha = floatAttribute(node, "alpha", 1);
    return [alpha === 1 ? plain : graph.emit("Mul", [plain, graph.scalar(alpha, product.dtype)], product)];
  },
};

/** The operand with its last two axes swapped, if the attribute says so. */
function oriented(graph: GraphBuilder, node: Node, attribute: "transA" | "transB", operand: Value): Value {
  if (intAttribute(node, attribute, 0) === 0) return operand;
  const rank = operand.shape.length;
  const perm = operand.shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  const shape = perm.map((axis) => operand.shape[axis] ?? 1);
  return graph.emit(
    "Transpose",
    [operand],
    { shape, dtype: operand.dtype },
    { attributes: { perm: ints(perm) } },
  );
}
