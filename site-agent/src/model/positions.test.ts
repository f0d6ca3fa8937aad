import { describe, expect, it } from "vitest";
import { sinCosPositions } from "./positions.ts";

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
});
