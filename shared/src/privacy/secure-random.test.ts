import { describe, expect, it } from "vitest";
import { SecureRandom } from "./secure-random.ts";

const KEY = new Uint8Array(32).fill(7);

describe("secure randomness", () => {
  it("is new with every object, and repeats for tests", () => {
    const first = (random: SecureRandom): number[] => Array.from({ length: 4 }, () => random.uint32());
    expect(first(new SecureRandom())).not.toEqual(first(new SecureRandom()));
    expect(first(new SecureRandom(KEY))).toEqual(first(new SecureRandom(KEY)));
  });

  it("is uniform", () => {
    const random = new SecureRandom(KEY);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const place = Math.floor(random.uniform() * 10);
      counts[place] = (counts[place] ?? 0) + 1;
    }
    // Within five standard deviations of 95.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(475);
    expect(Array.from({ length: 100 }, () => random.below(3)).every((value) => value < 3)).toBe(true);
  });

  it("gives normal numbers: moments, tails, and independence of neighbours, for odd lengths as well", () => {
    const values = new Float32Array(200_001);
    new SecureRandom(KEY).fillNormal(values, 3);
    const z = values.map((value) => value / 3);
    const mean = (of: (value: number, i: number) => number): number =>
      z.reduce((sum, value, i) => sum + of(value, i), 0) / z.length;
    // Five standard errors each.
    expect(Math.abs(mean((v) => v))).toBeLessThan(0.0112);
    expect(Math.abs(mean((v) => v ** 2) - 1)).toBeLessThan(0.0159);
    expect(Math.abs(mean((v) => v ** 4) - 3)).toBeLessThan(0.11);
    expect(Math.abs(mean((v, i) => v * (z[i + 1] ?? 0)))).toBeLessThan(0.0112);
    const beyond3 = mean((v) => (Math.abs(v) > 3 ? 1 : 0));
    expect(Math.abs(beyond3 - 0.0027)).toBeLessThan(6e-4);
  });
});
