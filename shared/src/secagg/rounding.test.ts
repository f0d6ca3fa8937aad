import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { roundInto, roundWeightsInto } from "./rounding.ts";

const noiseFor = (length: number, fill: "random" | number): Uint32Array =>
  fill === "random"
    ? new Uint32Array(new Uint8Array(randomBytes(4 * length)).buffer)
    : new Uint32Array(length).fill(fill);

it("gives in WebAssembly the bits that it gives in JavaScript", () => {
  const bounds = fc.constantFrom(0.05, Math.fround(0.1), 1, 1e-30, 3e38, 5e-324);
  fc.assert(
    fc.property(
      fc.constantFrom(16 as const, 32 as const),
      // Around one turn of the loop, and around the module's memory.
      fc.oneof({ weight: 9, arbitrary: fc.nat(40) }, fc.constantFrom(16_383, 16_384, 16_385)),
      bounds,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 3, max: 1000 }),
      fc.constantFrom("random" as const, 0, 0xffff_ffff),
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { maxLength: 8 }),
      (bits, length, bound, weight, sites, fill, odd) => {
        const levels = Math.floor((2 ** (bits - 1) - 1) / sites);
        const scale = { bound, levels, weight };
        const source = Float32Array.from({ length }, () => (2.2 * Math.random() - 1.1) * bound);
        source.set([bound, -bound, -0, ...odd].slice(0, length));
        const noise = noiseFor(length, fill);
        const expected = bits === 32 ? new Int32Array(length) : new Int16Array(length);
        const clipped = roundInto(expected, source, noise, scale, "weight");
        const target = new Uint8Array(expected.byteLength);
        const bytes = new Uint8Array(noise.buffer);
        expect(roundWeightsInto(bits, target, source, bytes, scale, "weight")).toBe(clipped);
        expect(Buffer.from(target).equals(Buffer.from(expected.buffer))).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

it.each([NaN, Infinity, -Infinity])("names the tensor that holds %s", (wrong) => {
  for (const at of [0, 7, 20]) {
    const source = new Float32Array(21);
    source[at] = wrong;
    const scale = { bound: 1, levels: 100, weight: 1 };
    expect(() =>
      roundWeightsInto(32, new Uint8Array(84), source, new Uint8Array(84), scale, "blocks.0"),
    ).toThrow(expect.objectContaining({ code: "vector.not-finite", culprits: ["blocks.0"] }) as Error);
  }
});
