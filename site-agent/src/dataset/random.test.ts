import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";

const many = <T>(count: number, draw: () => T): T[] => Array.from({ length: count }, draw);

describe("Random", () => {
  it("gives the same numbers on every machine", () => {
    const random = new Random(1, 2, 3);
    expect(many(4, () => random.uint32())).toEqual([2662919210, 1367756105, 724577431, 2955231606]);
    expect(Array.from(new Random(7).permutation(10))).toEqual([6, 4, 3, 1, 5, 9, 0, 2, 8, 7]);
  });

  it("follows from all of its seeds, in their order", () => {
    const first = (...seeds: number[]) => new Random(...seeds).uint32();
    expect(new Set([first(), first(0), first(0, 0), first(1), first(0, 1), first(1, 0)]).size).toBe(6);
    expect(first(5, 6)).toBe(first(5, 6));
  });

  it("is uniform in [0, 1), also for seeds that are neighbours", () => {
    const values = Array.from({ length: 20_000 }, (_, seed) => new Random(seed).uniform());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    const counts = new Array<number>(10).fill(0);
    for (const value of values) counts[Math.floor(value * 10)] = (counts[Math.floor(value * 10)] ?? 0) + 1;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(5 * Math.sqrt(2000));
  });

  it("draws every integer below the bound equally often", () => {
    const random = new Random(3);
    const counts = new Array<number>(7).fill(0);
    for (const value of many(70_000, () => random.below(7))) counts[value] = (counts[value] ?? 0) + 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(10_000));
  });

  it("permutes", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(300), (seed, length) => {
        const order = new Random(seed).permutation(length);
        expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
      }),
    );
  });

  it("has a normal with mean 0 and variance 1", () => {
    const random = new Random(4);
    const values = many(50_000, () => random.normal());
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
    expect(Math.abs(values.filter((v) => Math.abs(v) < 1.96).length / values.length - 0.95)).toBeLessThan(
      0.005,
    );
  });
});
