import fc from "fast-check";
import { expect, it } from "vitest";
import type { Stretch } from "./checked-values.ts";
import type { UpdateSet } from "./update-set.ts";
import { meanInStretches } from "./weighted-mean.ts";

it("has the same bits however much is added up at a time, and reads no element of an update twice", async () => {
  const value = fc.float({ noNaN: true, min: -1e6, max: 1e6 });
  const cases = fc.integer({ min: 1, max: 60 }).chain((length) =>
    fc.record({
      length: fc.constant(length),
      most: fc.integer({ min: 1, max: 70 }),
      updates: fc.array(
        fc.record({
          examples: fc.integer({ min: 1, max: 1000 }),
          values: fc.array(value, { minLength: length, maxLength: length }),
        }),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  );
  await fc.assert(
    fc.asyncProperty(cases, async ({ length, most, updates }) => {
      let read = 0;
      const slices = async function* (i: number, { from, to }: Stretch) {
        for (let offset = from; offset < to; offset += 7) {
          const values = Float32Array.from(updates[i]?.values.slice(offset, Math.min(to, offset + 7)) ?? []);
          read += values.length;
          yield { offset, values };
          await Promise.resolve();
        }
      };
      const set: UpdateSet = {
        length,
        examples: updates.map(({ examples }) => examples),
        read: (i) => slices(i, { from: 0, to: length }),
      };
      const whole = await meanInStretches(set, most);
      read = 0;
      expect(await meanInStretches({ ...set, readStretch: slices }, most)).toEqual(whole);
      expect(read).toBe(length * updates.length);
    }),
  );
});
