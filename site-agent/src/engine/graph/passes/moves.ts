/** Cancels operators that move elements to and fro, or not at all. */
import { ints, intsAttribute, sameShape, type Graph, type Node, type Value } from "../ir.ts";
import { rewrite, type Rule } from "./rewrite.ts";

export function cancelMoves(graph: Graph): Graph {
  return rewrite(graph, (node, context) => RULES[node.op]?.(node, context) ?? null);
}

const RULES: Readonly<Record<string, Rule>> = {
  Identity: ({ inputs }) => inputs,

  /** Only the last of several reshapes counts, and none that changes nothing. */
  Reshape: (node, { graph }) => {
    const [source, output] = ends(node);
    const before = origin(graph.producerOf(source), "Reshape");
    const from = before ?? source;
    if (sameShape(from.shape, output.shape)) return [from];
    return before === null ? null : [graph.reshape(before, output.shape)];
  },

  /** Two transposes are one; one that moves only axes of length 1 is a reshape. */
  Transpose: (node, { graph }) => {
    const [source, output] = ends(node);
    const permutation = intsAttribute(node, "perm") ?? [];
    const before = graph.producerOf(source);
    const from = origin(before, "Transpose");
    if (before !== null && from !== null) {
      const first = intsAttribute(before, "perm") ?? [];
      const both = permutation.map((axis) => first[axis] ?? 0);
      return [graph.emit("Transpose", [from], output, { attributes: { perm: ints(both) } })];
    }
    return keepsOrder(permutation, source.shape) ? [graph.reshape(source, output.shape)] : null;
  },

  Expand: (node, { graph }) => {
    const [source, output] = ends(node);
    if (sameShape(source.shape, output.shape)) return [source];
    const before = origin(graph.producerOf(source), "Expand");
    return before === null ? null : [graph.expand(before, output.shape)];
  },

  Cast: (node, { graph }) => {
    const [source, output] = ends(node);
    if (source.dtype === output.dtype) return [source];
    // Of bool to int to float only the ends matter.
    const before = origin(graph.producerOf(source), "Cast");
    return before?.dtype === "bool" ? [graph.cast(before, output.dtype)] : null;
  },

  Slice: (node) => {
    const [source, output] = ends(node);
    // With five operands a slice may also reverse.
    return node.inputs.length < 5 && sameShape(source.shape, output.shape) ? [source] : null;
  },

  Concat: ({ inputs }) => (inputs.length === 1 ? inputs : null),

  Pad: (node) => {
    const [source, output] = ends(node);
    return sameShape(source.shape, output.shape) ? [source] : null;
  },
};

function ends({ op, inputs, outputs }: Node): [source: Value, output: Value] {
  const [source] = inputs;
  const [output] = outputs;
  if (source === undefined || output === undefined) throw new RangeError(`${op} without operands`);
  return [source, output];
}

/** What `node` works on, if it is an `op`. */
const origin = (node: Node | null, op: string): Value | null =>
  node?.op === op ? (node.inputs[0] ?? null) : null;

/** Whether all axes longer than 1 stay in order. */
function keepsOrder(permutation: readonly number[], shape: readonly number[]): boolean {
  const long = permutation.filter((axis) => shape[axis] !== 1);
  return long.every((axis, i) => i === 0 || axis > (long[i - 1] ?? 0));
}
