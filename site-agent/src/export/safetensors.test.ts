import { ConsiliumError } from "@consilium/shared/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeSafetensors, encodeSafetensors, type TensorFile } from "./safetensors.ts";

const tensor = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }).chain((shape) =>
  fc
    .array(fc.float({ noNaN: true }), {
      minLength: shape.reduce((n, s) => n * s, 1),
      maxLength: shape.reduce((n, s) => n * s, 1),
    })
    .map((values) => ({ shape, values: Float32Array.from(values) })),
);
const name = fc.stringMatching(/^[a-zµ][a-z0-9._]{0,20}$/);
const file: fc.Arbitrary<TensorFile> = fc.record({
  tensors: fc.array(fc.tuple(name, tensor), { maxLength: 5 }).map((entries) => new Map(entries)),
  metadata: fc
    .array(fc.tuple(name, fc.string()), { maxLength: 3 })
    .map((entries) => Object.fromEntries(entries)),
});

/** A file of hand-made header and data. */
function raw(header: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = Buffer.from(header);
  const bytes = Buffer.alloc(8 + json.length + data.length);
  bytes.writeBigUInt64LE(BigInt(json.length));
  json.copy(bytes, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}
const entry = (dtype: string, shape: number[], begin: number, end: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

function codeOf(bytes: Uint8Array): string | undefined {
  try {
    decodeSafetensors(bytes);
    return undefined;
  } catch (error) {
    return error instanceof ConsiliumError ? error.code : "other";
  }
}

describe("safetensors", () => {
  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(file, (written) => {
        const read = decodeSafetensors(encodeSafetensors(written));
        expect(new Map([...read.tensors].sort())).toEqual(new Map([...written.tensors].sort()));
        expect(read.metadata).toEqual(written.metadata);
      }),
    );
  });

  it("does not depend on the order of the tensors", () => {
    const a = { shape: [2], values: Float32Array.of(1, 2) };
    const b = { shape: [], values: Float32Array.of(3) };
    const metadata = { x: "1", a: "2" };
    const one = encodeSafetensors({ tensors: new Map(Object.entries({ a, b })), metadata });
    const other = encodeSafetensors({
      tensors: new Map(Object.entries({ b, a })),
      metadata: { a: "2", x: "1" },
    });
    expect(one).toEqual(other);
  });

  it("writes the bytes of the format: length, padded header, data at a multiple of 8", () => {
    const bytes = encodeSafetensors({
      tensors: new Map([["w", { shape: [1, 2], values: Float32Array.of(1, -2) }]]),
      metadata: { format: "pt" },
    });
    const header = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerBytes % 8).toBe(0);
    expect(
      Buffer.from(bytes.subarray(8, 8 + headerBytes))
        .toString()
        .trimEnd(),
    ).toBe(header);
    expect([...bytes.subarray(8 + headerBytes)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  it("widens float16 and bfloat16", () => {
    // 1, -2, smallest subnormal, infinity
    const half = raw(`{"h":${entry("F16", [4], 0, 8)}}`, Uint8Array.of(0, 0x3c, 0, 0xc0, 1, 0, 0, 0x7c));
    expect([...(decodeSafetensors(half).tensors.get("h")?.values ?? [])]).toEqual([
      1,
      -2,
      2 ** -24,
      Infinity,
    ]);
    const brain = raw(`{"b":${entry("BF16", [2], 0, 4)}}`, Uint8Array.of(0x80, 0x3f, 0x40, 0xc0));
    expect([...(decodeSafetensors(brain).tensors.get("b")?.values ?? [])]).toEqual([1, -3]);
  });

  it("refuses every file that the format does not allow", () => {
    const data = new Uint8Array(8);
    const f32 = (begin: number, end: number) => entry("F32", [(end - begin) / 4], begin, end);
    const bad: Record<string, Uint8Array> = {
      empty: new Uint8Array(),
      "header longer than the file": raw("{}").subarray(0, 9),
      "no JSON": raw("{nothing"),
      "a list": raw("[]"),
      gap: raw(`{"a":${f32(4, 8)}}`, data),
      overlap: raw(`{"a":${f32(0, 8)},"b":${f32(4, 8)}}`, data),
      "shape against offsets": raw(`{"a":${entry("F32", [3], 0, 8)}}`, data),
      "data missing": raw(`{"a":${f32(0, 8)}}`, data.subarray(0, 4)),
      "bytes left over": raw(`{"a":${f32(0, 4)}}`, data),
      integers: raw(`{"a":${entry("I64", [1], 0, 8)}}`, data),
      "negative offsets": raw(`{"a":${entry("F32", [2], -8, 0)}}`, data),
      "numbers as metadata": raw('{"__metadata__":{"a":1}}'),
    };
    for (const [what, bytes] of Object.entries(bad))
      expect([what, codeOf(bytes)]).toEqual([what, "weights.unreadable"]);
  });
});
