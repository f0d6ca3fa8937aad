import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assertUpdateHeader,
  checkpointHeaderBytes,
  decodeCheckpoint,
  decodeCheckpointHeader,
  encodeCheckpoint,
  encodeUpdate,
  updateBytes,
  UPDATE_HEADER_BYTES,
} from "./codec.ts";
import type { ErrorCode } from "./errors.ts";
import { manifestHash, vectorLength, type Manifest } from "./manifest.ts";

const manifestOf = (shapes: number[][]): Manifest => ({
  tensors: shapes.map((shape, i) => ({ name: `größe.${i}`, shape, dtype: "float32" })),
});
const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }), {
  minLength: 1,
  maxLength: 5,
});
const weights = shapes.chain((list) => {
  const manifest = manifestOf(list);
  return fc
    .float32Array({ minLength: vectorLength(manifest), maxLength: vectorLength(manifest) })
    .map((values) => ({ manifest, values }));
});
const failing = (code: ErrorCode) => expect.objectContaining({ code }) as Error;

describe("frames", () => {
  it("carry a checkpoint bit for bit, at any alignment", () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 0, max: 3 }), (checkpoint, shift) => {
        const bytes = encodeCheckpoint(checkpoint);
        const shifted = new Uint8Array(bytes.length + shift).subarray(shift);
        shifted.set(bytes);
        expect(decodeCheckpoint(shifted)).toEqual(checkpoint);
        // What node:fs gives: a Buffer inside a larger pool.
        expect(decodeCheckpoint(Buffer.from(shifted.buffer).subarray(shift))).toEqual(checkpoint);
        expect(decodeCheckpointHeader(shifted).valuesOffset).toBe(
          checkpointHeaderBytes(shifted.subarray(0, 12)),
        );
      }),
    );
  });

  it("carry an update bit for bit, in the announced size", () => {
    fc.assert(
      fc.property(weights, ({ manifest, values }) => {
        const bytes = encodeUpdate(manifest, values);
        expect(bytes.length).toBe(updateBytes(manifest));
        expect(Buffer.from(bytes.subarray(UPDATE_HEADER_BYTES))).toEqual(Buffer.from(values.buffer));
        assertUpdateHeader(manifestHash(manifest), bytes.subarray(0, UPDATE_HEADER_BYTES));
      }),
    );
  });

  const manifest = manifestOf([[2, 3], [4]]);
  const update = encodeUpdate(manifest, new Float32Array(10));

  it("are refused when cut or extended anywhere", () => {
    const refused = failing("frame.wrong-length");
    const hash = manifestHash(manifest);
    for (let length = 0; length < UPDATE_HEADER_BYTES; length++)
      expect(() => {
        assertUpdateHeader(hash, update.subarray(0, length));
      }).toThrow(refused);
    const checkpoint = encodeCheckpoint({ manifest, values: new Float32Array(10) });
    for (let length = 0; length < checkpoint.length; length++)
      expect(() => decodeCheckpoint(checkpoint.subarray(0, length))).toThrow(refused);
    expect(() => decodeCheckpoint(Buffer.concat([checkpoint, Uint8Array.of(0)]))).toThrow(refused);
  });

  it("are refused with a bad tag, magic or version", () => {
    for (const position of [0, 4, 5]) {
      const altered = Uint8Array.from(update);
      altered[position] = 0xee;
      expect(() => {
        assertUpdateHeader(manifestHash(manifest), altered);
      }).toThrow(failing("frame.bad-tag"));
    }
    expect(() => decodeCheckpoint(update)).toThrow(failing("frame.bad-tag"));
  });

  it("are refused for another model", () => {
    const other = manifestHash(manifestOf([[3, 2], [4]]));
    expect(() => {
      assertUpdateHeader(other, update);
    }).toThrow(failing("manifest.mismatch"));
  });
});
