import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { addAllLanes, addLanes } from "./lanes.ts";

/** One element at a time, in plain numbers. */
function reference(bits: 16 | 32, target: Buffer, source: Buffer, sign: 1 | -1): Buffer {
  const sum = Buffer.alloc(target.length);
  const [width, modulus] = [bits / 8, 2 ** bits];
  for (let at = 0; at < target.length; at += width) {
    const element = target.readUIntLE(at, width) + sign * source.readUIntLE(at, width);
    sum.writeUIntLE((element + modulus) % modulus, at, width);
  }
  return sum;
}

it("adds and subtracts like integers of that width, at any address and length", () => {
  fc.assert(
    fc.property(
      // Around one turn of the loop, and around the module's memory.
      fc.oneof({ weight: 9, arbitrary: fc.nat(40) }, fc.constantFrom(16_384, 16_385, 65_537)),
      fc.nat(7),
      fc.constantFrom(16 as const, 32 as const),
      fc.constantFrom(1 as const, -1 as const),
      (elements, shift, bits, sign) => {
        const target = randomBytes(shift + (elements * bits) / 8).subarray(shift);
        const source = randomBytes(target.length);
        const expected = reference(bits, target, source, sign);
        addLanes(bits, target, source, sign);
        expect(target.equals(expected)).toBe(true);
      },
    ),
  );
});

it("leaves alone what lies around the target", () => {
  const whole = new Uint8Array(200).fill(9);
  addLanes(32, whole.subarray(50, 90), new Uint8Array(40).fill(1), 1);
  expect([...whole.subarray(0, 50), ...whole.subarray(90)]).toEqual(Array(160).fill(9));
});

it("adds many sources as it adds one after the other, at any length up to its memory's", () => {
  fc.assert(
    fc.property(
      fc.oneof({ weight: 9, arbitrary: fc.nat(40) }, fc.constantFrom(16_383, 16_384)),
      fc.constantFrom(16 as const, 32 as const),
      fc.array(fc.constantFrom(1 as const, -1 as const), { maxLength: 5 }),
      (elements, bits, signs) => {
        const target = randomBytes((elements * bits) / 8);
        const sources = signs.map((sign) => ({ bytes: randomBytes(target.length), sign }));
        const expected = Buffer.from(target);
        for (const { bytes, sign } of sources) addLanes(bits, expected, bytes, sign);
        addAllLanes(bits, target, sources);
        expect(target.equals(expected)).toBe(true);
      },
    ),
    { numRuns: 40 },
  );
  expect(() => {
    addAllLanes(32, new Uint8Array(65_540), []);
  }).toThrow(RangeError);
});
