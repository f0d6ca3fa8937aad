import fc from "fast-check";
import { expect, it } from "vitest";
import { fromHalfBits, halfBits, roundToHalf } from "./half.ts";

it("writes every half-precision number with the bits that it was read from", () => {
  for (let bits = 0; bits < 2 ** 16; bits++) {
    const number = fromHalfBits(bits);
    if (!Number.isNaN(number) && halfBits(number) !== bits) expect(halfBits(number)).toBe(bits);
  }
  expect(fromHalfBits(halfBits(NaN))).toBeNaN();
});

it("knows the numbers of the standard", () => {
  expect([0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x7c00].map(fromHalfBits)).toEqual([
    1,
    -2,
    65504,
    2 ** -14,
    2 ** -24,
    Infinity,
  ]);
});

it("rounds to the nearest, ties to even, and to infinity beyond the largest", () => {
  expect(
    [2049, 2051, 1 + 2 ** -11, 65519, 65520, -1e9, 2 ** -25, 2 ** -25 + 2 ** -30].map(roundToHalf),
  ).toEqual([2048, 2052, 1, 65504, Infinity, -Infinity, 0, 2 ** -24]);
  fc.assert(
    fc.property(fc.double({ min: -65504, max: 65504, noNaN: true }), (number) => {
      const bits = halfBits(number);
      const error = Math.abs(fromHalfBits(bits) - number);
      for (const neighbour of [bits - 1, bits + 1]) {
        // The numbers next to 0 and to infinity have only one neighbour.
        if ((neighbour & 0x7c00) === 0x7c00 || neighbour < 0 || neighbour >> 15 !== bits >> 15) continue;
        expect(error).toBeLessThanOrEqual(Math.abs(fromHalfBits(neighbour) - number));
      }
    }),
  );
});
