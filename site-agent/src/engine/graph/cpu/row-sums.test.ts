import { expect, it } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret/interpret.ts";
import { int, sizeOf, type Graph } from "../ir.ts";
import { sumRowsByProducts } from "./row-sums.ts";

function sum(shape: readonly number[], axes: readonly number[]): Graph {
  const graph = new GraphBuilder();
  const x = graph.input("x", { shape, dtype: "float32" });
  const left = shape.filter((_, axis) => !axes.some((a) => (a + shape.length) % shape.length === axis));
  const total = graph.emit(
    "ReduceSum",
    [x, graph.indices(axes)],
    { shape: left, dtype: "float32" },
    { attributes: { keepdims: int(0) } },
  );
  return graph.build([{ name: "total", value: total }]);
}

const ops = ({ nodes }: Graph): string[] => nodes.map(({ op }) => op);

it("sums rows with a product, to the same result", () => {
  for (const [shape, axes] of [
    [[100, 3], [0]],
    [
      [9, 8, 5],
      [0, 1],
    ],
  ] as const) {
    const before = sum(shape, axes);
    const after = sumRowsByProducts(before);
    expect(ops(after)).toContain("Gemm");
    expect(ops(after)).not.toContain("ReduceSum");
    const x = Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i));
    const [expected, actual] = [before, after].map((graph) => interpret(graph, { x }).total?.data);
    expect(actual).toHaveLength(shape.at(-1) ?? 0);
    Array.from(actual ?? []).forEach((value, i) => {
      expect(value).toBeCloseTo(expected?.[i] ?? NaN, 10);
    });
  }
});

it("leaves other sums alone", () => {
  for (const [shape, axes] of [
    [[100, 3], [1]],
    [
      [100, 3],
      [0, 1],
    ],
    [[100, 3, 2], [0]],
    [[3, 100], [0]],
    [[100, 1], [0]],
  ] as const) {
    expect(ops(sumRowsByProducts(sum(shape, axes)))).toEqual(["ReduceSum"]);
  }
});
