import { describe, expect, it } from "vitest";
import { sinCosPositions, sinCosVolumePositions } from "./positions.ts";

describe("sin-cos positions", () => {
  it("equal the values of facebookresearch/mae", () => {
    // get_2d_sincos_pos_embed(8, 2): half of the width for the column, half for the row, each [sin, cos] of two waves.
    const wave = (at: number) => [Math.sin(at), Math.sin(at / 100), Math.cos(at), Math.cos(at / 100)];
    const expected = [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ].flatMap(([row = 0, column = 0]) => [...wave(column), ...wave(row)]);
    const actual = sinCosPositions(2, 8);
    expect(actual).toHaveLength(expected.length);
    for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i] ?? NaN, 6);
  });

  it("differ from patch to patch", () => {
    const width = 16;
    const positions = sinCosPositions(8, width);
    const rows = Array.from({ length: 64 }, (_, i) => positions.subarray(i * width, (i + 1) * width).join());
    expect(new Set(rows).size).toBe(64);
  });

  it("of volumes encode column, row and layer in a third of the width each, and differ from patch to patch", () => {
    const width = 14;
    const positions = sinCosVolumePositions(3, 2, width);
    const patch = (i: number) => Array.from(positions.subarray(i * width, (i + 1) * width));
    // Layer 2, row 0, column 1; two numbers are left over.
    const wave = (at: number) => [Math.sin(at), Math.sin(at / 100), Math.cos(at), Math.cos(at / 100)];
    const expected = [...wave(1), ...wave(0), ...wave(2), 0, 0];
    for (const [i, value] of patch(9).entries()) expect(value).toBeCloseTo(expected[i] ?? NaN, 6);
    expect(new Set(Array.from({ length: 12 }, (_, i) => patch(i).join())).size).toBe(12);
  });
});
