import fc from "fast-check";
import { expect, it } from "vitest";
import { cropTo } from "./crop.ts";

it("keeps exactly the samples of the region, of grey and of colour, and no memory of the others", () => {
  const region = fc.record({
    left: fc.nat(9),
    top: fc.nat(9),
    width: fc.integer({ min: 1, max: 10 }),
    height: fc.integer({ min: 1, max: 10 }),
    samples: fc.constantFrom<1 | 3>(1, 3),
  });
  fc.assert(
    fc.property(region, ({ left, top, width, height, samples }) => {
      const columns = left + width + 2;
      const rows = top + height + 1;
      const values = Uint16Array.from({ length: rows * columns * samples }, (_, i) => i);
      const photometric = samples === 1 ? "MONOCHROME2" : "RGB";
      const cropped = cropTo({ rows, columns, samples, photometric, values }, { left, top, width, height });
      expect(cropped).toMatchObject({ rows: height, columns: width, samples, photometric });
      expect(cropped.values.buffer.byteLength).toBe(height * width * samples * 2);
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width * samples; x++)
          expect(cropped.values[y * width * samples + x]).toBe(((top + y) * columns + left) * samples + x);
    }),
    { numRuns: 50 },
  );
});
