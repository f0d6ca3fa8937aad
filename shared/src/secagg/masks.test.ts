import { createCipheriv } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addEncoded, encoder, maskedBlocks } from "./encode.ts";
import { geometryOf } from "./layout.ts";
import { vectorLayoutSchema } from "./layout-schema.ts";
import { addMasks, maskBlock, type MaskTerm } from "./masks.ts";
import { addToBlock, blockRanges } from "./ring.ts";
import { fixedRandom } from "./testing/consortium.ts";

const random = fixedRandom("masks");
const layout = (link: "wide" | "narrow") =>
  vectorLayoutSchema.parse({
    sites: 40,
    link,
    examplesCap: 10,
    tensors: [{ name: "weight", length: 501, bound: 1 }],
  });
const termsOf = (count: number): MaskTerm[] =>
  Array.from({ length: count }, (_, i) => ({ key: random(32), sign: i % 2 === 0 ? 1 : -1 }));

describe("a mask", () => {
  it("is AES-256 of the block's number", () => {
    // FIPS 197's cipher on a block of zeros under a key of zeros.
    expect(Buffer.from(maskBlock(new Uint8Array(32), 0, 16)).toString("hex")).toBe(
      "dc95c078a2408989ad48a21492842087",
    );
    const key = random(32);
    const number = Buffer.alloc(16);
    number.writeBigUInt64BE(2n ** 32n + 5n, 8);
    const cipher = createCipheriv("aes-256-ecb", key, null);
    expect(Buffer.from(maskBlock(key, 16 * (2 ** 32 + 5), 16))).toEqual(cipher.update(number));
  });

  it("is the same however it is cut", () => {
    const key = random(32);
    const whole = Buffer.from(maskBlock(key, 0, 1000));
    fc.assert(
      fc.property(fc.nat(50), fc.nat(200), (block, length) => {
        const cut = Buffer.from(maskBlock(key, 16 * block, length));
        expect(cut).toEqual(whole.subarray(16 * block, 16 * block + length));
      }),
    );
    expect(() => maskBlock(key, 8, 16)).toThrow(RangeError);
  });
});

describe.each(["wide", "narrow"] as const)("sums in the %s ring", (link) => {
  const geometry = geometryOf(layout(link));
  const values = {
    update: Float32Array.from({ length: 501 }, (_, i) => Math.sin(i)),
    examples: 7,
    extras: {},
    roundingKey: random(32),
  };

  it("are the same block by block, in any order, as at once", () => {
    const terms = termsOf(5);
    const whole = { offset: 0, bytes: random(geometry.totalBytes) };
    const pieces = Uint8Array.from(whole.bytes);
    addMasks(geometry, whole, terms);
    for (const { offset, length } of [...blockRanges(geometry, 48)].reverse()) {
      addMasks(geometry, { offset, bytes: pieces.subarray(offset, offset + length) }, terms);
    }
    expect(Buffer.from(pieces)).toEqual(Buffer.from(whole.bytes));
  });

  it("are undone by the same masks in the other direction", () => {
    const terms = termsOf(4);
    const start = random(geometry.totalBytes);
    const block = { offset: 0, bytes: Uint8Array.from(start) };
    addMasks(geometry, block, terms);
    expect(block.bytes).not.toEqual(start);
    addMasks(geometry, block, terms, -1);
    expect(block.bytes).toEqual(start);
  });

  it("made before the update is there give the same vector", () => {
    const terms = termsOf(3);
    const encoding = encoder(layout(link), values);
    let clipped = 0;
    const early = [...blockRanges(geometry, 64)].map(({ offset, length }) => {
      const block = { offset, bytes: new Uint8Array(length) };
      addMasks(geometry, block, terms);
      if (block.offset < geometry.bodyBytes) clipped += addEncoded(encoding, block);
      else addToBlock(geometry, block, encoding.tail(clipped), 1);
      return block;
    });
    expect(early).toEqual([...maskedBlocks(layout(link), values, terms, 64)]);
  });

  it("of 3 to 40 sites are exact once the masks that are left are removed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 40 }), fc.integer({ min: 0, max: 8 }), (sites, lost) => {
        const survivors = Math.max(1, sites - lost);
        const plain = { offset: 0, bytes: new Uint8Array(geometry.totalBytes) };
        const masked = { offset: 0, bytes: new Uint8Array(geometry.totalBytes) };
        const keys = Array.from({ length: sites }, () => Array.from({ length: sites }, () => random(32)));
        const term = (i: number, j: number): MaskTerm =>
          i === j
            ? { key: keys[i]?.[i] ?? random(0), sign: 1 }
            : { key: keys[Math.min(i, j)]?.[Math.max(i, j)] ?? random(0), sign: i < j ? 1 : -1 };
        const all = Array.from({ length: sites }, (_, j) => j);
        for (const i of all.slice(0, survivors)) {
          const x = random(geometry.totalBytes);
          addToBlock(geometry, plain, x, 1);
          addToBlock(geometry, masked, x, 1);
          addMasks(
            geometry,
            masked,
            all.map((j) => term(i, j)),
          );
        }
        for (const i of all.slice(0, survivors)) {
          addMasks(geometry, masked, [term(i, i), ...all.slice(survivors).map((j) => term(i, j))], -1);
        }
        expect(masked.bytes).toEqual(plain.bytes);
      }),
      { numRuns: 8 },
    );
  });
});
