import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitToSquare, placeInSquare, resizeArea, type GreyImage } from "./resize.ts";

const greyImage = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }))
  .chain(([rows, columns]) =>
    fc
      .array(fc.integer({ min: 0, max: 255 }), { minLength: rows * columns, maxLength: rows * columns })
      .map((values): GreyImage => ({ rows, columns, values: Float32Array.from(values) })),
  );
const side = fc.integer({ min: 1, max: 50 });

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

describe("area resampling", () => {
  it("keeps the mean, whatever the sizes", () => {
    fc.assert(
      fc.property(greyImage, side, side, (image, height, width) => {
        expect(mean(resizeArea(image, height, width).values)).toBeCloseTo(mean(image.values), 3);
      }),
    );
  });

  it("stays within the image's own range", () => {
    fc.assert(
      fc.property(greyImage, side, side, (image, height, width) => {
        const { values } = resizeArea(image, height, width);
        expect(Math.min(...values)).toBeGreaterThanOrEqual(Math.min(...image.values) - 1e-3);
        expect(Math.max(...values)).toBeLessThanOrEqual(Math.max(...image.values) + 1e-3);
      }),
    );
  });

  it("changes nothing at the same size", () => {
    fc.assert(
      fc.property(greyImage, (image) => {
        expect(resizeArea(image, image.rows, image.columns).values).toEqual(image.values);
      }),
    );
  });

  it("halves by averaging blocks of four, and weighs what is cut", () => {
    const image = { rows: 2, columns: 4, values: Float32Array.from([0, 4, 8, 8, 2, 2, 0, 0]) };
    expect(Array.from(resizeArea(image, 1, 2).values)).toEqual([2, 4]);
    const line = { rows: 1, columns: 3, values: Float32Array.from([0, 30, 90]) };
    expect(Array.from(resizeArea(line, 1, 2).values)).toEqual([10, 70]);
  });
});

describe("fitting to a square", () => {
  it("keeps proportions, centres, and fills the rest with black", () => {
    const image = { rows: 2, columns: 4, values: new Float32Array(8).fill(200) };
    expect(placeInSquare(2, 4, 8)).toEqual({ left: 0, top: 2, width: 8, height: 4 });
    const square = fitToSquare(image, 8);
    const row = (y: number): number[] => Array.from(square.subarray(y * 8, (y + 1) * 8));
    for (const y of [0, 1, 6, 7]) expect(row(y)).toEqual(new Array(8).fill(0));
    for (const y of [2, 3, 4, 5]) expect(row(y)).toEqual(new Array(8).fill(200));
  });

  it("never leaves the square, even for a line", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 5000 }),
        side,
        (rows, columns, size) => {
          const { left, top, width, height } = placeInSquare(rows, columns, size);
          expect(Math.min(left, top)).toBeGreaterThanOrEqual(0);
          expect(Math.min(width, height)).toBeGreaterThanOrEqual(1);
          expect(left + width).toBeLessThanOrEqual(size);
          expect(top + height).toBeLessThanOrEqual(size);
        },
      ),
    );
  });
});
