import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { axisWeights, type AxisOptions } from "./axis.ts";
import { GridFiller } from "./grid.ts";
import { placeAxes } from "./orientation.ts";
import { cross, type Vector } from "./vector.ts";

const length = fc.integer({ min: 2, max: 40 });
const spacing = fc.double({ min: 0.3, max: 6, noNaN: true });

function resampled(values: readonly number[], options: AxisOptions): (number | null)[] {
  const { first, weights } = axisWeights(options);
  return weights.map((parts, place) =>
    parts.length === 0
      ? null
      : parts.reduce((sum, part, i) => sum + part * (values[(first[place] ?? 0) + i] ?? NaN), 0),
  );
}

describe("resampling along an axis", () => {
  it("keeps what is constant, and a slope to within half a source place, whatever the grids", () => {
    fc.assert(
      fc.property(length, spacing, length, spacing, fc.boolean(), (from, fromMm, to, toMm, reversed) => {
        const options = { from, fromMm, to, toMm, reversed };
        const ones = resampled(new Array<number>(from).fill(1), options);
        for (const value of ones) if (value !== null) expect(value).toBeCloseTo(1, 9);
        // In millimetres from the middle, which is the middle of the result, too.
        const slope = Array.from({ length: from }, (_, i) => (i - (from - 1) / 2) * fromMm);
        for (const [i, value] of resampled(slope, options).entries()) {
          const at = (i - (to - 1) / 2) * toMm * (reversed ? -1 : 1);
          const isWithin = Math.abs(at) + Math.max(fromMm, toMm) <= (from * fromMm) / 2;
          const tolerance = toMm < fromMm ? 1e-6 : fromMm / 2 + 1e-6;
          if (isWithin) expect(Math.abs((value ?? NaN) - at)).toBeLessThan(tolerance);
        }
      }),
    );
  });

  it("is the mean of what a coarser place covers, so that nothing aliases", () => {
    const stripes = Array.from({ length: 24 }, (_, i) => i % 2);
    const options = { from: 24, fromMm: 1, to: 6, toMm: 4, reversed: false };
    expect(resampled(stripes, options)).toEqual(new Array<number>(6).fill(0.5));
  });

  it("leaves what lies beyond empty, the same on both sides", () => {
    const options = { from: 4, fromMm: 1, to: 8, toMm: 1, reversed: false };
    expect(resampled([1, 2, 3, 4], options)).toEqual([null, null, 1, 2, 3, 4, null, null]);
    expect(resampled([1, 2, 3, 4], { ...options, reversed: true })).toEqual([
      null,
      null,
      4,
      3,
      2,
      1,
      null,
      null,
    ]);
  });
});

describe("the place of an axis", () => {
  it("is a permutation, for any three directions at right angles", () => {
    const angle = fc.double({ min: -Math.PI, max: Math.PI, noNaN: true });
    fc.assert(
      fc.property(angle, angle, angle, (a, b, c) => {
        const [ca, sa, cb, sb, cc, sc] = [a, b, c].flatMap((x) => [Math.cos(x), Math.sin(x)]) as [
          number,
          number,
          number,
          number,
          number,
          number,
        ];
        const columns: Vector = [cb * cc, sa * sb * cc + ca * sc, sa * sc - ca * sb * cc];
        const rows: Vector = [-cb * sc, ca * cc - sa * sb * sc, sa * cc + ca * sb * sc];
        const places = placeAxes([cross(columns, rows), rows, columns]);
        expect(new Set(places.map(({ target }) => target)).size).toBe(3);
      }),
    );
  });

  it("turns what is counted to the feet, to the front or to the right around", () => {
    expect(
      placeAxes([
        [0, 0, -1],
        [0, -1, 0],
        [-1, 0, 0],
      ]),
    ).toEqual([
      { target: "slices", reversed: true },
      { target: "rows", reversed: true },
      { target: "columns", reversed: true },
    ]);
    // Coronal: slices from front to back, rows from head to feet.
    expect(
      placeAxes([
        [0, 1, 0],
        [0, 0, -1],
        [1, 0, 0],
      ]),
    ).toEqual([
      { target: "rows", reversed: false },
      { target: "slices", reversed: true },
      { target: "columns", reversed: false },
    ]);
  });
});

describe("the grid", () => {
  it("takes slices in any order, pads with what is outside, and crops about the middle", () => {
    const source = {
      counts: [2, 4, 2] as const,
      spacingMm: [1, 1, 1] as const,
      directions: [
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
      ] as [Vector, Vector, Vector],
    };
    const planned = { depthPx: 4, sliceSpacingMm: 1, pixelSpacingMm: 1 };
    const make = (order: readonly number[]) => {
      const filler = new GridFiller(source, 2, planned);
      for (const n of order)
        filler.add(
          n,
          Float32Array.from({ length: 8 }, (_, i) => 10 * (n + 1) + i),
        );
      return filler.finish();
    };
    const grid = make([1, 0]);
    expect(grid.values).toEqual(make([0, 1]).values);
    // Rows 1 and 2 of 4, in the middle two of four slices.
    expect(Array.from(grid.values)).toEqual([0, 0, 0, 0, 12, 13, 14, 15, 22, 23, 24, 25, 0, 0, 0, 0]);
    expect(Array.from(grid.inside)).toEqual(
      [0, 1, 1, 0].flatMap((slice) => new Array<number>(4).fill(slice)),
    );
  });
});
