import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { border, dice, hd95, squaredDistances } from "./overlap.ts";

const size = { width: 9, height: 7 };
const places = size.width * size.height;
const masks = fc.uint8Array({ minLength: places, maxLength: places, max: 1 });

function rectangle(left: number, top: number, right: number, bottom: number): Uint8Array {
  return Uint8Array.from({ length: places }, (_, at) => {
    const [x, y] = [at % size.width, Math.floor(at / size.width)];
    return Number(x >= left && x < right && y >= top && y < bottom);
  });
}

describe("Dice", () => {
  it("is what one works out by hand", () => {
    // 3 x 2 and 3 x 2, with 2 x 2 in common.
    expect(dice(rectangle(0, 0, 3, 2), rectangle(1, 0, 4, 2))).toBeCloseTo((2 * 4) / 12);
    expect(dice(rectangle(0, 0, 2, 2), rectangle(4, 4, 6, 6))).toBe(0);
    expect(dice(rectangle(0, 0, 0, 0), rectangle(0, 0, 1, 1))).toBe(0);
    expect(dice(rectangle(0, 0, 0, 0), rectangle(0, 0, 0, 0))).toBeNull();
  });

  it("does not care which mask comes first, and is 1 only for the same", () => {
    fc.assert(
      fc.property(masks, masks, (a, b) => {
        const value = dice(a, b);
        expect(dice(b, a)).toBe(value);
        if (value === null) return;
        expect(value === 1).toBe(a.every((inside, i) => inside === b[i]));
        expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("the Hausdorff distance's 95th percentile", () => {
  it("is what one works out by hand", () => {
    const point = rectangle(0, 0, 1, 1);
    expect(hd95(point, rectangle(3, 4, 4, 5), size)).toBe(5);
    // From the row of nine to the point 0 .. 8: the 95th percentile is between the two largest.
    expect(hd95(point, rectangle(0, 0, 9, 1), size)).toBeCloseTo(7.6);
    expect(hd95(rectangle(0, 0, 0, 0), point, size)).toBeCloseTo(Math.hypot(9, 7));
    expect(hd95(rectangle(0, 0, 0, 0), rectangle(0, 0, 0, 0), size)).toBeNull();
  });

  it("counts slices by their distance", () => {
    const depth = { width: 3, height: 2, depth: 4, sliceStep: 2.5 };
    const voxel = (at: number): Uint8Array => Uint8Array.from({ length: 24 }, (_, i) => Number(i === at));
    expect(hd95(voxel(0), voxel(18), depth)).toBe(7.5);
    expect(hd95(voxel(0), new Uint8Array(24), depth)).toBeCloseTo(Math.hypot(3, 2, 10));
    // Only the middle of three slices of a full volume has no voxel outside beside it.
    expect(border(new Uint8Array(27).fill(1), { width: 3, height: 3, depth: 3 })).toHaveLength(26);
    const places = fc.uint8Array({ minLength: 24, maxLength: 24, max: 1 });
    fc.assert(
      fc.property(places, (mask) => {
        const sources = Int32Array.from(mask.keys()).filter((at) => mask[at] === 1);
        const fast = squaredDistances(sources, depth);
        for (const [at, value] of fast.entries()) {
          const squares = Array.from(sources, (source) => {
            const across = (source % 3) - (at % 3);
            const down = (Math.floor(source / 3) % 2) - (Math.floor(at / 3) % 2);
            const up = 2.5 * (Math.floor(source / 6) - Math.floor(at / 6));
            return across ** 2 + down ** 2 + up ** 2;
          });
          if (squares.length > 0) expect(value).toBeCloseTo(Math.min(...squares), 9);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("of a mask from itself is 0, and the same from either side", () => {
    fc.assert(
      fc.property(masks, masks, (a, b) => {
        if (a.some(Boolean)) expect(hd95(a, a, size)).toBe(0);
        expect(hd95(a, b, size)).toBe(hd95(b, a, size));
      }),
    );
  });

  it("measures distances as a search through all places does", () => {
    fc.assert(
      fc.property(masks, (mask) => {
        const sources = border(mask, size);
        const fast = squaredDistances(sources, size);
        for (let at = 0; at < places; at++) {
          const slow = Math.min(
            ...Array.from(sources, (source) => {
              const across = (source % size.width) - (at % size.width);
              const down = Math.floor(source / size.width) - Math.floor(at / size.width);
              return across ** 2 + down ** 2;
            }),
          );
          expect(fast[at]).toBe(slow);
        }
      }),
      { numRuns: 50 },
    );
  });
});
