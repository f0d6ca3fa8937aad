import fc from "fast-check";
import { expect, it } from "vitest";
import { addWeighted, firstNotFinite } from "./float-loops.ts";

/** Around one turn of the loop, and around the module's memory. */
const length = fc.oneof({ weight: 9, arbitrary: fc.nat(70) }, fc.constantFrom(8191, 8192, 8193, 16_400));
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const weight = fc.double({ noNaN: true, noDefaultInfinity: true });

it("adds up with the bits of the loop in JavaScript, at any length", () => {
  fc.assert(
    fc.property(length, weight, fc.array(finite, { minLength: 1 }), (count, weight, some) => {
      const number = (i: number): number => some[i % some.length] ?? NaN;
      const values = Float32Array.from({ length: count }, (_, i) => number(i));
      const target = Float64Array.from({ length: count }, (_, i) => number(i + 7) / 3);
      const expected = target.map((sum, i) => sum + weight * number(i));
      addWeighted(target, values, weight);
      expect(Buffer.from(target.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
    }),
  );
});

it("leaves alone what lies around the target", () => {
  const whole = new Float64Array(40).fill(9);
  addWeighted(whole.subarray(10, 21), new Float32Array(11).fill(1), 2);
  expect([...whole.subarray(0, 10), ...whole.subarray(21)]).toEqual(Array(29).fill(9));
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
