import { expect, it } from "vitest";
import { GraphBuilder } from "./builder.ts";
import type { Graph, Node } from "./ir.ts";
import { peakBytes } from "./peak-bytes.ts";
import { holdOrder } from "./run-order.ts";

const BIG = { shape: [1 << 14], dtype: "float32" } as const;
const SCALAR = { shape: [], dtype: "float32" } as const;
const BYTES = 4 * BIG.shape[0];

/** A chain of large values; each is summed up at once, and the sums are added at the end. */
function chain(length: number): Graph {
  const graph = new GraphBuilder();
  let value = graph.input("x", BIG);
  const sums = Array.from({ length }, () => {
    value = graph.emit("Exp", [value], BIG);
    return graph.emit("ReduceSum", [value], SCALAR);
  });
  const total = graph.emit("Sum", sums, SCALAR);
  return graph.build([{ name: "total", value: total }]);
}

/** ONNX Runtime's order: back from the nodes without users, the last node first (core/graph/graph.cc, ReverseDFSFrom). */
function walked(graph: Graph): Graph {
  const at = new Map(graph.nodes.map((node, i) => [node, i]));
  const makers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
  );
  const used = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
  const nodes: Node[] = [];
  const seen = new Set<Node>();
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    const sources = node.inputs.map((input) => makers.get(input)).filter((source) => source !== undefined);
    for (const source of sources.sort((a, b) => (at.get(b) ?? 0) - (at.get(a) ?? 0))) visit(source);
    nodes.push(node);
  };
  for (const node of graph.nodes.toReversed())
    if (!node.outputs.some((output) => used.has(output))) visit(node);
  return { ...graph, nodes };
}

it("makes ONNX Runtime use a value up before it makes the next", () => {
  const graph = chain(10);
  expect(peakBytes(graph)).toBeLessThan(2.1 * BYTES);
  expect(peakBytes(walked(graph))).toBeGreaterThan(9 * BYTES);
  expect(peakBytes(walked(holdOrder(graph)))).toBeLessThan(2.1 * BYTES);
});

it("leaves a graph alone in which there is nothing to save", () => {
  const graph = new GraphBuilder();
  const x = graph.input("x", BIG);
  const y = graph.emit("Exp", [graph.emit("Neg", [x], BIG)], BIG);
  const built = graph.build([{ name: "y", value: y }]);
  expect(holdOrder(built)).toEqual(built);
});
