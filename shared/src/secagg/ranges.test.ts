import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manifestSchema } from "../manifest-schema.ts";
import { adamRatio, magnitudesOf, movementBound, movementRanges } from "./ranges.ts";

const invalid = expect.objectContaining({ code: "plan.invalid" }) as Error;

describe("the range of a weight", () => {
  it("holds whatever the gradients are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 60 }),
        fc.double({ min: -2, max: 2, noNaN: true }),
        fc.constantFrom([0.9, 0.95], [0.9, 0.999], [0, 0.9], [0.5, 0.6]),
        (gradients, start, [beta1 = 0, beta2 = 0]) => {
          const [learningRate, weightDecay] = [1e-2, 0.05];
          let [m, v, weight] = [0, 0, start];
          for (const [i, gradient] of gradients.entries()) {
            m = beta1 * m + (1 - beta1) * gradient;
            v = beta2 * v + (1 - beta2) * gradient ** 2;
            const step = m / (1 - beta1 ** (i + 1)) / (Math.sqrt(v / (1 - beta2 ** (i + 1))) + 1e-8);
            weight -= learningRate * (step + weightDecay * weight);
          }
          const options = { beta1, beta2, weightDecay, learningRateSum: learningRate * gradients.length };
          expect(Math.abs(weight - start)).toBeLessThanOrEqual(movementBound(Math.abs(start), options));
        },
      ),
    );
  });

  it("is near what the largest gradients reach", () => {
    expect(adamRatio(0.9, 0.95)).toBeCloseTo(1.1645, 3);
    expect(adamRatio(0.9, 0.999)).toBeCloseTo(7.27, 2);
    expect(adamRatio(0, 0.75)).toBeCloseTo(2, 12);
  });

  it("does not exist for every plan", () => {
    expect(() => adamRatio(0.99, 0.95)).toThrow(invalid);
    expect(() => movementBound(1, { beta1: 0.9, beta2: 0.95, weightDecay: 1, learningRateSum: 1 })).toThrow(
      invalid,
    );
  });

  it("follows from the base checkpoint, tensor by tensor", () => {
    const manifest = manifestSchema.parse({
      tensors: [
        { name: "a", shape: [2], dtype: "float32" },
        { name: "b", shape: [1], dtype: "float32" },
      ],
    });
    const options = { beta1: 0.9, beta2: 0.95, weightDecay: 0.1, learningRateSum: 0.5 };
    const ranges = movementRanges(magnitudesOf(manifest, Float32Array.of(0.5, -2, 0)), options);
    expect(ranges.map(({ name, length }) => [name, length])).toEqual([
      ["a", 2],
      ["b", 1],
    ]);
    for (const [i, largest] of [2, 0].entries()) {
      const exact = movementBound(largest, options);
      expect(ranges[i]?.bound).toBeGreaterThan(exact);
      expect(ranges[i]?.bound).toBeLessThan(exact * 1.0001);
    }
  });
});
