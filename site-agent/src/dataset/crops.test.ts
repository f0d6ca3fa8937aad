import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cropMatrices, randomCrop, wholeImage, type Crop } from "./crops.ts";
import { Random } from "./random.ts";

/** rows . image . columns^T of one crop, in float64. */
function applyCrop(image: readonly number[], crop: Crop, sourcePx: number, targetPx: number): number[] {
  const { rows, columns } = cropMatrices([crop], sourcePx, targetPx);
  const out: number[] = [];
  for (let y = 0; y < targetPx; y++) {
    for (let x = 0; x < targetPx; x++) {
      let sum = 0;
      for (let i = 0; i < sourcePx; i++) {
        for (let j = 0; j < sourcePx; j++) {
          const weight = (rows[y * sourcePx + i] ?? NaN) * (columns[x * sourcePx + j] ?? NaN);
          sum += weight * (image[i * sourcePx + j] ?? NaN);
        }
      }
      out.push(sum);
    }
  }
  return out;
}

const checkerboard = (side: number) =>
  Array.from({ length: side * side }, (_, i) => (i * 37 + Math.floor(i / side) * 11) % 251);

const options = fc.record({
  cropMinArea: fc.double({ min: 0, max: 1, noNaN: true }),
  cropMaxArea: fc.double({ min: 0, max: 1, noNaN: true }),
  flip: fc.boolean(),
  stretchMax: fc.constantFrom(0, 0.25, 0.49),
});
const sides = fc.integer({ min: 4, max: 40 });

describe("crop matrices", () => {
  it("have rows of weights that are not negative and sum to 1, whatever the crop", () => {
    fc.assert(
      fc.property(fc.nat(), options, sides, sides, (seed, cropOptions, sourcePx, targetPx) => {
        const crop = randomCrop(sourcePx, cropOptions, new Random(seed));
        const { rows, columns } = cropMatrices([crop], sourcePx, targetPx);
        for (const matrix of [rows, columns]) {
          expect(matrix.every((weight) => weight >= 0)).toBe(true);
          for (let target = 0; target < targetPx; target++) {
            const row = matrix.subarray(target * sourcePx, (target + 1) * sourcePx);
            expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
          }
        }
      }),
    );
  });

  it("reproduce the whole image at its own size", () => {
    const image = checkerboard(9);
    expect(applyCrop(image, wholeImage(9), 9, 9)).toEqual(image);
  });

  it("mirror left to right", () => {
    const image = checkerboard(6);
    const mirrored = image.map((_, i) => image[Math.floor(i / 6) * 6 + 5 - (i % 6)]);
    expect(applyCrop(image, { ...wholeImage(6), flip: true }, 6, 6)).toEqual(mirrored);
  });

  it("cut out exactly the pixels of an integer crop", () => {
    const image = checkerboard(8);
    const crop = { top: 2, left: 3, height: 4, width: 4, flip: false };
    const expected = Array.from({ length: 16 }, (_, i) => image[(2 + Math.floor(i / 4)) * 8 + 3 + (i % 4)]);
    expect(applyCrop(image, crop, 8, 4)).toEqual(expected);
  });

  it("keep a linear ramp linear when enlarging, and the mean when halving", () => {
    const ramp = Array.from({ length: 64 }, (_, i) => i % 8);
    const enlarged = applyCrop(ramp, { top: 2, left: 2, height: 4, width: 4, flip: false }, 8, 16);
    for (let x = 0; x < 16; x++) expect(enlarged[x]).toBeCloseTo(2 + (x + 0.5) / 4 - 0.5, 5);
    const image = checkerboard(8);
    const shrunk = applyCrop(image, wholeImage(8), 8, 4);
    // Border pixels weigh a little more, so only nearly.
    const meanOf = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
    expect(Math.abs(meanOf(shrunk) - meanOf(image))).toBeLessThan(0.05 * meanOf(image));
  });

  it("stretch the one end and squeeze the other, and keep ends and order", () => {
    const stretch = fc.record({
      bow: fc.double({ min: -0.49, max: 0.49, noNaN: true }),
      sway: fc.double({ min: -0.49, max: 0.49, noNaN: true }),
    });
    const ramp = Array.from({ length: 16 * 16 }, (_, i) => i % 16);
    fc.assert(
      fc.property(stretch, stretch, (down, across) => {
        const row = applyCrop(ramp, { ...wholeImage(16), stretch: { down, across } }, 16, 16).slice(0, 16);
        for (let x = 1; x < 16; x++) expect(row[x] ?? NaN).toBeGreaterThanOrEqual(row[x - 1] ?? NaN);
        expect(Math.abs(row[0] ?? NaN)).toBeLessThan(1);
        expect(Math.abs((row[15] ?? NaN) - 15)).toBeLessThan(1);
        // The middle is moved by the bow alone.
        expect(((row[7] ?? NaN) + (row[8] ?? NaN)) / 2).toBeCloseTo(7.5 + (16 * across.bow) / Math.PI, 0);
      }),
    );
  });

  it("average over everything they cover when shrinking, instead of skipping lines", () => {
    const lines = Array.from({ length: 32 * 32 }, (_, i) => (Math.floor(i / 32) % 2) * 200);
    for (const value of applyCrop(lines, wholeImage(32), 32, 8))
      expect(Math.abs(value - 100)).toBeLessThan(15);
  });
});

describe("random crops", () => {
  it("lie inside the image and keep the share of the area that is asked for", () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const crop = randomCrop(96, { cropMinArea: 0.5, cropMaxArea: 0.9, flip: true }, new Random(seed));
        expect(crop.top).toBeGreaterThanOrEqual(0);
        expect(crop.left).toBeGreaterThanOrEqual(0);
        expect(crop.top + crop.height).toBeLessThanOrEqual(96 + 1e-9);
        expect(crop.left + crop.width).toBeLessThanOrEqual(96 + 1e-9);
        const area = (crop.width * crop.height) / 96 ** 2;
        const isFallback = crop.width === 96 && crop.height === 96;
        expect(isFallback || (area >= 0.5 - 1e-9 && area <= 0.9 + 1e-9)).toBe(true);
      }),
    );
  });

  it("follow from the seed and are mirrored about half of the time", () => {
    const draw = (seed: number) =>
      randomCrop(96, { cropMinArea: 0.5, cropMaxArea: 1, flip: true }, new Random(seed));
    expect(draw(5)).toEqual(draw(5));
    const mirrored = Array.from({ length: 400 }, (_, seed) => draw(seed)).filter(({ flip }) => flip).length;
    expect(Math.abs(mirrored - 200)).toBeLessThan(50);
    const never = randomCrop(96, { cropMinArea: 0.5, cropMaxArea: 1, flip: false }, new Random(1));
    expect(never.flip).toBe(false);
  });
});
