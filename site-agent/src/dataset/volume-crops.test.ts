import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";
import { randomVolumeCrop, volumeCropMatrices, wholeVolume } from "./volume-crops.ts";

const sides = fc.integer({ min: 4, max: 24 });

describe("crops of volumes", () => {
  it("lie inside, hold the wanted share unless none fits, and have rows of weights that sum to 1", () => {
    fc.assert(
      fc.property(fc.nat(), sides, sides, sides, (seed, sizePx, depthPx, target) => {
        const box = { sizePx, depthPx };
        const options = { cropMinArea: 0.4, cropMaxArea: 0.9, flip: true };
        const crop = randomVolumeCrop(box, options, new Random(seed));
        expect(Math.min(crop.front, crop.left, crop.top)).toBeGreaterThanOrEqual(0);
        expect(crop.front + crop.depth).toBeLessThanOrEqual(depthPx + 1e-9);
        expect(crop.left + crop.width).toBeLessThanOrEqual(sizePx + 1e-9);
        expect(crop.top + crop.height).toBeLessThanOrEqual(sizePx + 1e-9);
        const share = (crop.depth * crop.width * crop.height) / (depthPx * sizePx ** 2);
        expect(share === 1 || (share > 0.4 - 1e-9 && share < 0.9 + 1e-9)).toBe(true);
        const { slices } = volumeCropMatrices([crop], box, { sizePx: 4, depthPx: target });
        for (let row = 0; row < target; row++) {
          const weights = slices.subarray(row * depthPx, (row + 1) * depthPx);
          expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("of the whole volume leave it as it is, slices in their order whether mirrored or not", () => {
    const box = { sizePx: 5, depthPx: 3 };
    const whole = wholeVolume(box);
    const { slices, columns } = volumeCropMatrices([whole, { ...whole, flip: true }], box, box);
    const identity = (side: number) =>
      Array.from({ length: side ** 2 }, (_, i) => (i % (side + 1) === 0 ? 1 : 0));
    expect(Array.from(slices)).toEqual([...identity(3), ...identity(3)]);
    expect(Array.from(columns.subarray(0, 25))).toEqual(identity(5));
    expect(columns[25 + 4]).toBe(1);
  });

  it("follow from the seed alone", () => {
    const crop = (seed: number) =>
      randomVolumeCrop(
        { sizePx: 32, depthPx: 16 },
        { cropMinArea: 0.5, cropMaxArea: 1, flip: true },
        new Random(seed),
      );
    expect(crop(1)).toEqual(crop(1));
    expect(crop(1)).not.toEqual(crop(2));
  });
});
