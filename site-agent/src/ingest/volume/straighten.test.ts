import fc from "fast-check";
import { expect, it } from "vitest";
import { straighten } from "./straighten.ts";

const ROWS = 9;
const COLUMNS = 7;
const plane = (value: (row: number, column: number) => number): Float32Array =>
  Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => value(Math.floor(i / COLUMNS), i % COLUMNS));

it("gives a slope the values that it has at the straight places, and the lowest where the slice has none", () => {
  const shift = fc.double({ min: -12, max: 12, noNaN: true });
  fc.assert(
    fc.property(shift, shift, (byRows, byColumns) => {
      const slope = (row: number, column: number): number => 100 + 3 * row - 2 * column;
      const straight = straighten(plane(slope), ROWS, COLUMNS, [byRows, byColumns]);
      const lowest = slope(0, COLUMNS - 1);
      for (const [i, value] of straight.entries()) {
        const [row, column] = [Math.floor(i / COLUMNS) - byRows, (i % COLUMNS) - byColumns];
        const isWithin = row >= 0 && row <= ROWS - 1 && column >= 0 && column <= COLUMNS - 1;
        const isBeyond = row <= -1 || row >= ROWS || column <= -1 || column >= COLUMNS;
        if (isWithin) expect(value).toBeCloseTo(slope(row, column), 3);
        if (isBeyond) expect(value).toBeCloseTo(lowest, 3);
      }
    }),
  );
});

it("leaves a slice that lies straight as it is, and moves by whole pixels exactly", () => {
  const image = plane((row, column) => (row * 31 + column * 17) % 11);
  expect(straighten(image, ROWS, COLUMNS, [0, 0])).toEqual(image);
  const moved = straighten(image, ROWS, COLUMNS, [2, -1]);
  for (let row = 2; row < ROWS; row++)
    for (let column = 0; column < COLUMNS - 1; column++)
      expect(moved[row * COLUMNS + column]).toBe(image[(row - 2) * COLUMNS + column + 1]);
});
