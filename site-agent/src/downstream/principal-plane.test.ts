import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { principalPlane } from "./principal-plane.ts";

describe("the plane on which features differ most", () => {
  const width = 6;
  const random = new Random(4);
  const along = [0.6, 0, 0, 0.8, 0, 0];
  const across = [0, 0, 1, 0, 0, 0];
  const truth = Array.from({ length: 200 }, () => ({ x: 5 * random.normal(), y: 2 * random.normal() }));
  const features = Float32Array.from(
    truth.flatMap(({ x, y }) =>
      along.map((a, i) => 3 + a * x + (across[i] ?? 0) * y + 0.1 * random.normal()),
    ),
  );

  it("is found, with each direction's share of the variance", () => {
    const { points, shares } = principalPlane(features, width);
    const mean = { x: average(truth.map(({ x }) => x)), y: average(truth.map(({ y }) => y)) };
    for (const [i, { x, y }] of points.entries()) {
      expect(Math.abs(x - ((truth[i]?.x ?? NaN) - mean.x))).toBeLessThan(0.6);
      expect(Math.abs(y - ((truth[i]?.y ?? NaN) - mean.y))).toBeLessThan(0.6);
    }
    expect(shares[0]).toBeGreaterThan(0.75);
    expect(shares[0] + shares[1]).toBeGreaterThan(0.99);
    expect(shares[0] + shares[1]).toBeLessThanOrEqual(1);
  });

  it("is the same for the same features, and a point where they do not differ", () => {
    expect(principalPlane(features, width)).toEqual(principalPlane(features, width));
    const constant = principalPlane(new Float32Array(4 * width).fill(2), width);
    expect(constant).toEqual({ points: Array(4).fill({ x: 0, y: 0 }), shares: [0, 0] });
    const line = principalPlane(Float32Array.of(0, 0, 1, 1, 2, 2), 2);
    expect(line.shares[0]).toBeCloseTo(1, 9);
    expect(line.shares[1]).toBeCloseTo(0, 9);
  });
});

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
