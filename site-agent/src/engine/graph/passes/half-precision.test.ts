import { describe, expect, it } from "vitest";
import { Random } from "../../../dataset/random.ts";
import { cpuProvider } from "../../providers/cpu.ts";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret/interpret.ts";
import { float, int, sizeOf, type Graph, type Value } from "../ir.ts";
import { multiplyInHalf } from "./half-precision.ts";

const FLOAT = "float32" as const;

/** Products of every kind, with what belongs around them: a sum, a norm, an operand that is used twice. */
function products(length: number): Graph {
  const graph = new GraphBuilder();
  const a = graph.input("a", { shape: [3, length], dtype: FLOAT });
  const b = graph.input("b", { shape: [length, 4], dtype: FLOAT });
  const bias = graph.input("bias", { shape: [4], dtype: FLOAT });
  const batch = graph.input("batch", { shape: [2, 4, length], dtype: FLOAT });
  const emit = (op: string, inputs: Value[], shape: number[], attributes = {}): Value =>
    graph.emit(op, inputs, { shape, dtype: FLOAT }, { attributes });
  const affine = emit("Gemm", [a, b, bias], [3, 4], { beta: float(0.5) });
  const matrix = emit("MatMul", [a, b], [3, 4]);
  const across = graph.emit(
    "FusedMatMul",
    [batch, b],
    { shape: [2, length, length], dtype: FLOAT },
    {
      attributes: { transA: int(1), transB: int(1), alpha: float(2) },
      domain: "com.microsoft",
    },
  );
  const norm = emit("ReduceSumSquare", [matrix, graph.indices([0, 1])], [1, 1]);
  return graph.build([affine, matrix, across, norm].map((value, i) => ({ name: `y${i}`, value })));
}

const inputsOf = (graph: Graph): Record<string, Float32Array> => {
  const random = new Random(1);
  return Object.fromEntries(
    graph.inputs.map(({ name, value }) => [
      name,
      Float32Array.from({ length: sizeOf(value.shape) }, () => random.normal()),
    ]),
  );
};

/** Of all outputs, in units of the largest element. */
function largestError(actual: Readonly<Record<string, ArrayLike<number>>>, expected: typeof actual): number {
  const errors = Object.entries(expected).map(([name, values]) => {
    const right = Array.from(values);
    const size = Math.max(...right.map(Math.abs));
    return Math.max(...right.map((value, i) => Math.abs(value - (actual[name]?.[i] ?? NaN)))) / size;
  });
  return Math.max(...errors);
}

const evaluated = (graph: Graph, inputs: Record<string, Float32Array>) =>
  Object.fromEntries(Object.entries(interpret(graph, inputs)).map(([name, { data }]) => [name, data]));

describe("products in float16", () => {
  it("differ from those in float32 by float16's rounding, and by no less", () => {
    const graph = products(7);
    const inputs = inputsOf(graph);
    const half = multiplyInHalf(graph, Infinity);
    const error = largestError(evaluated(half, inputs), evaluated(graph, inputs));
    expect(error).toBeLessThan(4e-3);
    expect(error).toBeGreaterThan(1e-5);
  });

  it("leave everything else in float32, outputs too, and cast an operand once", () => {
    const half = multiplyInHalf(products(7), Infinity);
    const inFloat16 = half.nodes.filter(({ outputs }) => outputs.some(({ dtype }) => dtype === "float16"));
    expect(inFloat16.map(({ op }) => op).sort()).toEqual([
      "Cast",
      "Cast",
      "Cast",
      "FusedMatMul",
      "Gemm",
      "MatMul",
    ]);
    expect(half.outputs.map(({ value }) => value.dtype)).toEqual([FLOAT, FLOAT, FLOAT, FLOAT]);
  });

  it("add up long sums in float32: a sum in float16 stands still at 2048 times what is added", () => {
    const whole = products(4096);
    const graph = { ...whole, outputs: whole.outputs.filter(({ name }) => name === "y1") };
    const inputs = inputsOf(graph);
    for (const name of ["a", "b"]) inputs[name]?.fill(1);
    const half = evaluated(multiplyInHalf(graph, 1024), inputs);
    expect([...(half["y1"] ?? [])]).toEqual(new Array(12).fill(4096));
    const parts = multiplyInHalf(graph, 1000).nodes.filter(({ op }) => op === "MatMul");
    expect(parts.map(({ inputs: [a, b] }) => [a?.shape, b?.shape])).toEqual(
      [1000, 1000, 1000, 1000, 96].map((length) => [
        [3, length],
        [length, 4],
      ]),
    );
  });

  it("are a model that ONNX Runtime takes, with the interpreter's results", async () => {
    const half = multiplyInHalf(products(7), 4);
    const inputs = inputsOf(half);
    const compiled = await cpuProvider(1).compile(half);
    const outputs = new Map(
      half.outputs.map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
    );
    await compiled.run(new Map(Object.entries(inputs)), outputs);
    await compiled.dispose();
    expect(largestError(Object.fromEntries(outputs), evaluated(half, inputs))).toBeLessThan(2e-3);
  });
});
