import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { epochBatches, readImages, stepsPerEpoch } from "./batches.ts";
import { Random } from "./random.ts";
import type { ImageCache } from "./types.ts";

describe("the batches of an epoch", () => {
  it("are whole, in number as announced, and show no image twice", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 64 }),
        fc.nat(),
        (images, size, seed) => {
          const batches = [...epochBatches(images, size, new Random(seed))];
          expect(batches).toHaveLength(stepsPerEpoch(images, size));
          expect(batches.every((batch) => batch.length === size)).toBe(true);
          const seen = batches.flatMap((batch) => Array.from(batch));
          expect(seen.every((image) => image >= 0 && image < images)).toBe(true);
          if (images >= size) expect(new Set(seen).size).toBe(seen.length);
          // Fewer images than a batch holds: each comes, and equally often up to one.
          else expect(new Set(seen).size).toBe(images);
        },
      ),
    );
  });

  it("come in another order with another seed", () => {
    const first = (seed: number) => Array.from([...epochBatches(100, 50, new Random(seed))][0] ?? []);
    expect(first(1)).toEqual(first(1));
    expect(first(1)).not.toEqual(first(2));
  });
});

describe("reading images", () => {
  const cache: ImageCache = {
    sizePx: 2,
    depthPx: 1,
    channels: 1,
    records: [],
    read: (indices, out) => {
      for (let i = 0; i < indices.length; i++) out.fill((indices[i] ?? 0) + 1, i * 4, (i + 1) * 4);
    },
    close: () => undefined,
  };

  it("repeats grey in every channel", () => {
    expect(Array.from(readImages(cache, [4, 1], 1))).toEqual([5, 5, 5, 5, 2, 2, 2, 2]);
    expect(Array.from(readImages(cache, [4, 1], 3))).toEqual([
      ...new Array<number>(12).fill(5),
      ...new Array<number>(12).fill(2),
    ]);
  });

  it("puts cached channels last, and refuses another number of them than the model's", () => {
    // Channel c, pixel p of image i is 100 i + 10 c + p.
    const coloured: ImageCache = {
      ...cache,
      depthPx: 2,
      channels: 2,
      read: (indices, out) => {
        for (let at = 0; at < out.length; at++)
          out[at] = 100 * (indices[Math.floor(at / 16)] ?? 0) + 10 * (Math.floor(at / 8) % 2) + (at % 8);
      },
    };
    const images = Array.from(readImages(coloured, [1, 0], 2));
    expect(images.slice(0, 6)).toEqual([100, 110, 101, 111, 102, 112]);
    expect(images.slice(14, 18)).toEqual([107, 117, 0, 10]);
    expect(() => readImages(coloured, [0], 3)).toThrow(
      expect.objectContaining({ code: "cache.wrong-size" }) as Error,
    );
  });
});
