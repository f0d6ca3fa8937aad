/** What is written for WebGPU means the same as what stood there, on a provider that runs both. */
import { describe, expect, it } from "vitest";
import { Random } from "../../../dataset/random.ts";
import type { TensorArray } from "../../arrays.ts";
import { cpuProvider } from "../../providers/cpu.ts";
import { GraphBuilder } from "../builder.ts";
import { expectClose } from "../../testing/compare.ts";
import { int, ints, sizeOf, type Graph, type Value } from "../ir.ts";
import { legalizeForWebGpu } from "./legalize.ts";

/** Operators for which ONNX Runtime 1.30 has no WebGPU kernel, alone or with these types. */
const UNKNOWN_TO_WEBGPU =
  /^(Selu|Sign|Round|IsNaN|IsInf|Or|Xor|Mod|ArgMax|ArgMin|TopK|LogSoftmax|FusedMatMul)$/;

type Feeds = Readonly<Record<string, TensorArray>>;

async function run(graph: Graph, feeds: Feeds): Promise<Float32Array[]> {
  const compiled = await cpuProvider(1).compile(graph);
  const outputs = graph.outputs.map(({ value }) => new Float32Array(sizeOf(value.shape)));
  await compiled.run(
    new Map(Object.entries(feeds)),
    new Map(graph.outputs.map(({ name }, i) => [name, outputs[i] ?? new Float32Array()])),
  );
  await compiled.dispose();
  // 0 and -0 are the same here.
  return outputs.map((values) => values.map((value) => value + 0));
}

/** @param write gets the builder and returns values of any type */
async function expectSameMeaning(
  write: (graph: GraphBuilder) => readonly Value[],
  feeds: Feeds,
): Promise<void> {
  const builder = new GraphBuilder();
  const outputs = write(builder).map((value, i) => ({
    name: `y${i}`,
    value: builder.cast(value, "float32"),
  }));
  const graph = builder.build(outputs);
  const legal = legalizeForWebGpu(graph);
  expect(legal.nodes.map(({ op }) => op).filter((op) => UNKNOWN_TO_WEBGPU.test(op))).toEqual([]);
  const [actual, expected] = [await run(legal, feeds), await run(graph, feeds)];
  for (const [i, values] of expected.entries()) expectClose(actual[i] ?? [], values, 1e-6);
}

const floats = (graph: GraphBuilder, name: string, ...shape: number[]): Value =>
  graph.input(name, { shape, dtype: "float32" });
const integers = (graph: GraphBuilder, name: string, ...shape: number[]): Value =>
  graph.input(name, { shape, dtype: "int32" });
const isPositive = (graph: GraphBuilder, x: Value): Value =>
  graph.emit("Greater", [x, graph.scalar(0, x.dtype)], { shape: x.shape, dtype: "bool" });

describe("of floats", () => {
  const x = Float32Array.of(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609, -8388609, 0, 7.2, -7.8);
  for (const op of ["Sign", "Round", "IsInf", "IsNaN"]) {
    it(op, () => {
      const special = [...(op === "IsNaN" ? [NaN] : []), Infinity, -Infinity];
      const all = Float32Array.of(...x, ...special);
      return expectSameMeaning(
        (g) => {
          const input = floats(g, "x", all.length);
          return [
            g.emit(op, [input], { shape: input.shape, dtype: op.startsWith("Is") ? "bool" : "float32" }),
          ];
        },
        { x: all },
      );
    });
  }

  it("Selu", () =>
    expectSameMeaning((g) => [g.emit("Selu", [floats(g, "x", 5)], { shape: [5], dtype: "float32" })], {
      x: Float32Array.of(-30, -1, 0, 0.5, 40),
    }));

  it("LogSoftmax, of large numbers too", () =>
    expectSameMeaning(
      (g) => {
        const input = floats(g, "x", 2, 3);
        return [g.emit("LogSoftmax", [input], input, { attributes: { axis: int(1) } })];
      },
      { x: Float32Array.of(900, 900, 900, 0, 0, 0) },
    ));
});

it("choices of bools", () =>
  expectSameMeaning(
    (g) => {
      const [a, b] = [isPositive(g, integers(g, "a", 4)), isPositive(g, integers(g, "b", 4))];
      return ["Or", "Xor", "Equal"].map((op) => g.emit(op, [a, b], { shape: [4], dtype: "bool" }));
    },
    { a: Int32Array.of(0, 0, 1, 1), b: Int32Array.of(0, 1, 0, 1) },
  ));

it("arithmetic of integers, the modulus with the divisor's sign", () =>
  expectSameMeaning(
    (g) => {
      const [a, b] = [integers(g, "a", 8), integers(g, "b", 8)];
      return ["Neg", "Abs", "Sign"].map((op) => g.emit(op, [a], a)).concat(g.emit("Mod", [a, b], a));
    },
    {
      a: Int32Array.of(7, -7, 7, -7, 6, -6, 0, 2 ** 30 + 1),
      b: Int32Array.of(3, 3, -3, -3, 3, -3, 5, 2 ** 29),
    },
  ));

it("moves of bools, bytes and integers", () =>
  expectSameMeaning(
    (g) => {
      const bools = isPositive(g, integers(g, "a", 2, 3));
      const whole = integers(g, "b", 3, 4);
      const bounds = [
        [2, -1],
        [-4, 4],
        [0, 1],
        [-1, 2],
      ].map((numbers) => g.indices(numbers));
      return [
        g.emit(
          "Transpose",
          [bools],
          { shape: [3, 2], dtype: "bool" },
          { attributes: { perm: ints([1, 0]) } },
        ),
        g.emit("Concat", [bools, bools], { shape: [4, 3], dtype: "bool" }, { attributes: { axis: int(0) } }),
        ...g.emitMany(
          "Split",
          [bools, g.indices([1, 2])],
          [1, 2].map((n) => ({ shape: [2, n], dtype: "bool" })),
          {
            attributes: { axis: int(1) },
          },
        ),
        g.emit("Slice", [whole, ...bounds], {
          shape: [3, 1],
          dtype: "int32",
        }),
        g.emit("Slice", [whole, g.indices([1]), g.indices([3]), g.indices([1])], {
          shape: [3, 2],
          dtype: "int32",
        }),
      ];
    },
    {
      a: Int32Array.of(0, 1, 0, 1, 1, 0),
      b: Int32Array.from({ length: 12 }, (_, i) => 2 ** 24 + i),
    },
  ));

it("a split into more parts than a shader can bind", () =>
  expectSameMeaning(
    (g) => {
      const sizes = Array.from({ length: 9 }, (_, i) => i + 1);
      const parts = sizes.map((size) => ({ shape: [2, size], dtype: "float32" as const }));
      return g.emitMany("Split", [floats(g, "x", 2, 45), g.indices(sizes)], parts, {
        attributes: { axis: int(-1) },
      });
    },
    { x: Float32Array.from({ length: 90 }, (_, i) => i) },
  ));

it("positions of extremes and the k largest, the first of equals", () =>
  expectSameMeaning(
    (g) => {
      const x = floats(g, "x", 2, 6);
      const axis = { attributes: { axis: int(1), keepdims: int(0) } };
      const [values, positions] = g.emitMany(
        "TopK",
        [x, g.indices([3])],
        [
          { shape: [2, 3], dtype: "float32" },
          { shape: [2, 3], dtype: "int64" },
        ],
      );
      return [
        ...["ArgMax", "ArgMin"].map((op) =>
          g.cast(g.emit(op, [x], { shape: [2], dtype: "int64" }, axis), "int32"),
        ),
        ...[values, positions].flatMap((value) => (value === undefined ? [] : [value])),
      ];
    },
    { x: Float32Array.of(3, 9, -1, 9, 2, -1, 5, 5, 5, 4, 8, 8) },
  ));

it("transposed convolutions in groups of several channels, which are dense then; and none of volumes", async () => {
  const uniform = (length: number): Float32Array => {
    const random = new Random(2);
    return Float32Array.from({ length }, () => random.uniform() - 0.5);
  };
  const write = (g: GraphBuilder): Value[] => {
    const output = { shape: [1, 4, 5, 5], dtype: "float32" } as const;
    const attributes = { group: int(2), kernel_shape: ints([2, 2]) };
    return [
      g.emit("ConvTranspose", [floats(g, "x", 1, 6, 4, 4), floats(g, "f", 6, 2, 2, 2)], output, {
        attributes,
      }),
    ];
  };
  await expectSameMeaning(write, { x: uniform(96), f: uniform(48) });
  const volume = (g: GraphBuilder): Value[] => [
    g.emit("ConvTranspose", [floats(g, "x", 1, 1, 2, 2, 2), floats(g, "f", 1, 1, 1, 1, 1)], {
      shape: [1, 1, 2, 2, 2],
      dtype: "float32",
    }),
  ];
  const refusal = expectSameMeaning(volume, { x: uniform(8), f: uniform(1) });
  await expect(refusal).rejects.toMatchObject({ code: "engine.unsupported-op", culprits: ["ConvTranspose"] });
});

it("products with transposed operands", () => {
  const random = new Random(1);
  const uniform = (length: number): Float32Array => Float32Array.from({ length }, () => random.below(9) - 4);
  return expectSameMeaning(
    (g) => {
      const [a, b] = [floats(g, "a", 2, 4, 3), floats(g, "b", 2, 5, 4)];
      const attributes = { transA: int(1), transB: int(1) };
      const product = { shape: [2, 3, 5], dtype: "float32" } as const;
      return [g.emit("FusedMatMul", [a, b], product, { attributes, domain: "com.microsoft" })];
    },
    { a: uniform(24), b: uniform(40) },
  );
});
