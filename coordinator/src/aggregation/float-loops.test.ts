import fc from "fast-check";
import { expect, it } from "vitest";
import { firstNotFinite, weightedSums } from "./float-loops.ts";

/** Around one turn of the loop, and around the module's memory. */
const length = fc.oneof({ weight: 9, arbitrary: fc.nat(70) }, fc.constantFrom(8191, 8192, 8193, 16_400));
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const weight = fc.double({ noNaN: true, noDefaultInfinity: true });

it("adds up with the bits of the loop in JavaScript, at any length", () => {
  fc.assert(
    fc.property(length, weight, fc.array(finite, { minLength: 1 }), (count, weight, some) => {
      const values = Float32Array.from({ length: count }, (_, i) => some[i % some.length] ?? NaN);
      const { sums, add } = weightedSums(count);
      const expected = new Float64Array(count);
      for (const factor of [1 / 3, weight]) {
        add(0, values, factor);
        for (const [i, value] of values.entries()) expected[i] = (expected[i] ?? NaN) + factor * value;
      }
      expect(Buffer.from(Float64Array.from(sums).buffer).equals(Buffer.from(expected.buffer))).toBe(true);
    }),
  );
});

it("leaves the sums around those alone that it adds to", () => {
  const { sums, add } = weightedSums(40);
  sums.fill(9);
  add(10, new Float32Array(11).fill(1), 2);
  expect([...sums]).toEqual([
    ...Array<number>(10).fill(9),
    ...Array<number>(11).fill(11),
    ...Array<number>(19).fill(9),
  ]);
});

it("finds the first number that is not finite, and takes no other for one", () => {
  const bad = fc.constantFrom(NaN, Infinity, -Infinity);
  fc.assert(
    fc.property(length, finite, bad, fc.option(fc.nat(20_000)), (count, fill, wrong, place) => {
      const values = new Float32Array(count).fill(fill);
      const index = place === null || count === 0 ? -1 : place % count;
      if (index >= 0) values.fill(wrong, index, index + 2);
      expect(firstNotFinite(values)).toBe(index);
    }),
  );
});
