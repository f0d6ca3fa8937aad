import fc from "fast-check";
import { expect, it } from "vitest";
import { assertFinite, largestMagnitude } from "./vector.ts";

it("finds the largest magnitude as comparing numbers does", () => {
  fc.assert(
    fc.property(fc.array(fc.float({ noNaN: true })), (numbers) => {
      expect(largestMagnitude(Float32Array.from(numbers))).toBe(Math.max(0, ...numbers.map(Math.abs)));
    }),
  );
});

it.each([NaN, -NaN, Infinity, -Infinity])("does not take %s for a finite value, wherever it is", (wrong) => {
  const manifest = {
    tensors: ["first", "second"].map((name) => ({ name, shape: [2], dtype: "float32" as const })),
  };
  for (const [at, name] of [
    [1, "first"],
    [2, "second"],
  ] as const) {
    const values = Float32Array.of(1, -3e38, 0, 1e-45);
    assertFinite(manifest, values);
    values[at] = wrong;
    expect(() => {
      assertFinite(manifest, values);
    }).toThrow(expect.objectContaining({ code: "vector.not-finite", culprits: [name] }) as Error);
  }
});
