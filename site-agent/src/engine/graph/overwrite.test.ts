import { describe, expect, it } from "vitest";
import { GraphBuilder } from "./builder.ts";
import type { Value } from "./ir.ts";
import { overwritable } from "./overwrite.ts";

const FLOAT = { shape: [2, 3], dtype: "float32" } as const;

/** Whether the first of two outputs may overwrite the input x. */
function mayOverwrite(
  build: (graph: GraphBuilder, x: Value, y: Value) => readonly [Value, ...Value[]],
): boolean {
  const graph = new GraphBuilder();
  const [x, y] = [graph.input("x", FLOAT), graph.input("y", FLOAT)];
  const outputs = build(graph, x, y);
  const [output] = outputs;
  const built = graph.build(outputs.map((value, i) => ({ name: `out${i}`, value })));
  return overwritable(built, [{ input: x, output }]).length === 1;
}

describe("an input's memory may hold an output", () => {
  it("that is made of it element by element", () => {
    expect(mayOverwrite((graph, x, y) => [graph.emit("Add", [x, y], FLOAT)])).toBe(true);
  });

  it("if the other readers are done by then", () => {
    expect(
      mayOverwrite((graph, x, y) => {
        const twice = graph.emit("Mul", [graph.reshape(x, [6]), graph.reshape(y, [6])], {
          ...FLOAT,
          shape: [6],
        });
        return [graph.emit("Sub", [x, graph.reshape(twice, [2, 3])], FLOAT)];
      }),
    ).toBe(true);
  });
});

describe("an input's memory may not hold an output", () => {
  it("if something else may read it later, also in another shape", () => {
    expect(
      mayOverwrite((graph, x, y) => [graph.emit("Add", [x, y], FLOAT), graph.emit("Neg", [x], FLOAT)]),
    ).toBe(false);
    expect(
      mayOverwrite((graph, x, y) => [
        graph.emit("Add", [x, y], FLOAT),
        graph.emit("Neg", [graph.reshape(x, [6])], { ...FLOAT, shape: [6] }),
      ]),
    ).toBe(false);
  });

  it("that is not made element by element", () => {
    expect(
      mayOverwrite((graph, x) => [
        graph.emit("MatMul", [x, graph.full(1, { ...FLOAT, shape: [3, 3] })], FLOAT),
      ]),
    ).toBe(false);
  });

  it("of another shape", () => {
    const row = { ...FLOAT, shape: [1, 3] };
    const graph = new GraphBuilder();
    const [x, y] = [graph.input("x", row), graph.input("y", FLOAT)];
    const output = graph.emit("Add", [x, y], FLOAT);
    expect(overwritable(graph.build([{ name: "out", value: output }]), [{ input: x, output }])).toEqual([]);
  });

  it("that is another input or a constant", () => {
    expect(mayOverwrite((_, __, y) => [y])).toBe(false);
    expect(mayOverwrite((graph) => [graph.constant(new Float32Array(6), FLOAT)])).toBe(false);
  });
});
