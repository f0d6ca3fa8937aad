import { describe, expect, it } from "vitest";
import { cpuProvider, describeProviders } from "../providers/cpu.ts";
import { GraphBuilder } from "./builder.ts";
import { float, int, ints, type Graph } from "./ir.ts";
import { writeOnnx } from "./onnx.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const text = (value: string): string => hex(new TextEncoder().encode(value));

/** y = x + c, named by hand. */
function addition(): Graph {
  const builder = new GraphBuilder();
  const x = builder.input("x", { shape: [2], dtype: "float32" });
  const c = builder.constant(Float32Array.of(1), { shape: [], dtype: "float32" });
  return builder.build([{ name: "y", value: builder.emit("Add", [x, c], x) }]);
}

async function run(
  graph: Graph,
  inputs: Record<string, Float32Array | Int32Array | Uint8Array>,
): Promise<Float32Array[]> {
  const compiled = await cpuProvider(1).compile(graph);
  const sizes = graph.outputs.map(({ name, value }): [string, Float32Array] => [
    name,
    new Float32Array(value.shape.reduce((a, b) => a * b, 1)),
  ]);
  const outputs = new Map(sizes);
  await compiled.run(new Map(Object.entries(inputs)), outputs);
  await compiled.dispose();
  return [...outputs.values()];
}

describe("writeOnnx", () => {
  it("writes protocol buffers field by field as onnx.proto3 numbers them", () => {
    const bytes = hex(writeOnnx(addition()));
    // ir_version 9, producer_name "consilium"
    expect(bytes.startsWith(`08091209${text("consilium")}`)).toBe(true);
    // NodeProto: input "x", "c1"; output "y"; name; op_type "Add"
    const node = `0a01${text("x")}0a02${text("c1")}1201${text("y")}1a05${text("Add_y")}2203${text("Add")}`;
    expect(bytes).toContain(`0a${(node.length / 2).toString(16)}${node}`);
    // TensorProto: no dims, FLOAT, name, raw_data 1.0f
    expect(bytes).toContain(`10014202${text("c1")}4a040000803f`);
    // opset_import: "" 20
    expect(bytes.endsWith("42040a001014")).toBe(true);
  });

  it("names ONNX Runtime's own operators only where they occur", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", { shape: [2], dtype: "float32" });
    const y = builder.emit("Gelu", [x], x, { domain: "com.microsoft" });
    const bytes = hex(writeOnnx(builder.build([{ name: "y", value: y }])));
    // opset_import: "" 20 and com.microsoft 1
    expect(bytes.endsWith(`42040a00101442110a0d${text("com.microsoft")}1001`)).toBe(true);
  });

  it("writes negative, long and fractional attributes that ONNX Runtime reads back", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", { shape: [1, 300], dtype: "float32" });
    const softmax = builder.emit("Softmax", [x], x, { attributes: { axis: int(-1) } });
    const turned = builder.emit("Transpose", [softmax], { shape: [300, 1], dtype: "float32" }, { attributes: { perm: ints([1, 0]) } }); // prettier-ignore
    const y = builder.emit("LeakyRelu", [turned], turned, { attributes: { alpha: float(0.125) } });
    const [values] = await run(builder.build([{ name: "y", value: y }]), { x: new Float32Array(300) });
    expect(values?.every((value) => Math.abs(value - 1 / 300) < 1e-7)).toBe(true);
  });

  it("lets an output be an input, a constant, or a second name", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", { shape: [2], dtype: "float32" });
    const doubled = builder.emit("Add", [x, x], x);
    const c = builder.constant(Float32Array.of(7, 8), x);
    const outputs = { same: x, constant: c, one: doubled, two: doubled };
    const graph = builder.build(Object.entries(outputs).map(([name, value]) => ({ name, value })));
    const results = await run(graph, { x: Float32Array.of(1, 2) });
    expect(results.map((values) => [...values])).toEqual([[1, 2], [7, 8], [2, 4], [2, 4]]); // prettier-ignore
  });

  it("carries every element type", async () => {
    const builder = new GraphBuilder();
    const bytes = builder.input("bytes", { shape: [2], dtype: "uint8" });
    const whole = builder.input("whole", { shape: [2], dtype: "int32" });
    const flags = builder.constant(Uint8Array.of(1, 0), { shape: [2], dtype: "bool" });
    const offset = builder.constant(Int32Array.of(-5), { shape: [1], dtype: "int64" });
    const terms = [bytes, whole, flags, offset].map((value) => builder.cast(value, "float32"));
    const sum = terms.reduce((a, b) => builder.emit("Add", [a, b], { shape: [2], dtype: "float32" }));
    const graph = builder.build([{ name: "y", value: sum }]);
    const [values] = await run(graph, { bytes: Uint8Array.of(200, 255), whole: Int32Array.of(-1000, 3) });
    expect([...(values ?? [])]).toEqual([-804, 253]);
  });
});

describe("the CPU provider", () => {
  it("names the operator that ONNX Runtime refuses, and no file", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", { shape: [2], dtype: "float32" });
    const graph = builder.build([{ name: "y", value: builder.emit("NoSuchThing", [x], x) }]);
    const attempt = cpuProvider(1).compile(graph);
    await expect(attempt).rejects.toMatchObject({ code: "engine.compile-failed" });
    await expect(attempt).rejects.toThrow(/NoSuchThing/);
    await expect(attempt).rejects.not.toThrow(/\//);
  });

  it("reports a missing input by name", async () => {
    const compiled = await cpuProvider(1).compile(addition());
    const attempt = compiled.run(new Map(), new Map([["y", new Float32Array(2)]]));
    await expect(attempt).rejects.toMatchObject({ code: "engine.run-failed", culprits: ["x"] });
    await compiled.dispose();
  });

  it("is described for doctor", () => {
    const { runtime, backends } = describeProviders();
    expect(runtime).toMatch(/^\d+\.\d+/);
    expect(backends).toContainEqual({ name: "cpu", bundled: true });
  });
});
