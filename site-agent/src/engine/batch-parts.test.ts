import { ConsiliumError } from "@consilium/shared/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutBatch, joinMetrics, partSpecs } from "./batch-parts.ts";

const uneven = expect.objectContaining<Partial<ConsiliumError>>({ code: "engine.uneven-batch" }) as Error;

describe("a batch in parts", () => {
  it("has as many rows of every input as the parts' shapes together, in the batch's order", () => {
    const size = fc.integer({ min: 1, max: 5 });
    fc.assert(
      fc.property(size, size, size, (parts, examples, width) => {
        const specs = {
          x: { shape: [parts * examples, width], dtype: "float32" },
          label: { shape: [parts * examples], dtype: "int32" },
        } as const;
        const count = (length: number): number[] => Array.from({ length }, (_, i) => i);
        const batch = {
          x: Float32Array.from(count(parts * examples * width)),
          label: Int32Array.from(count(parts * examples)),
        };
        const cut = cutBatch(batch, parts);
        const { x, label } = partSpecs(specs, parts);
        expect(x).toEqual({ shape: [examples, width], dtype: "float32" });
        expect(label).toEqual({ shape: [examples], dtype: "int32" });
        expect(cut.map((part) => part.x.length)).toEqual(cut.map(() => examples * width));
        expect(cut.flatMap((part) => Array.from<number>(part.x))).toEqual([...batch.x]);
        expect(cut.flatMap((part) => Array.from<number>(part.label))).toEqual([...batch.label]);
      }),
    );
  });

  it("is refused where the parts would differ", () => {
    expect(() => partSpecs({ x: { shape: [4, 3], dtype: "float32" } }, 3)).toThrow(uneven);
    expect(() => partSpecs({ x: { shape: [], dtype: "float32" } }, 1)).toThrow(uneven);
    expect(() => cutBatch({ x: new Float32Array(4) }, 3)).toThrow(uneven);
  });

  it("gives means of single numbers and all entries of longer metrics", () => {
    const parts = [
      { accuracy: Float32Array.of(0.25), score: Float32Array.of(1, 2) },
      { accuracy: Float32Array.of(0.75), score: Float32Array.of(3, 4) },
    ];
    expect(joinMetrics(parts)).toEqual({
      accuracy: Float32Array.of(0.5),
      score: Float32Array.of(1, 2, 3, 4),
    });
  });
});
