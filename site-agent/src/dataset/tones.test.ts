import fc from "fast-check";
import { expect, it } from "vitest";
import { Random } from "./random.ts";
import { bendTones } from "./tones.ts";

const greys = Uint8Array.from({ length: 256 }, (_, x) => x);

it("keeps black, white and the order of greys, however they are bent", () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 1, max: 3, noNaN: true }), (seed, most) => {
      const bent = greys.slice();
      bendTones(bent, 1, most, new Random(seed));
      expect([bent[0], bent[255]]).toEqual([0, 255]);
      expect(bent).toEqual(bent.slice().sort());
      // x^(1 / most) and x^most bound it.
      expect(bent[128]).toBeGreaterThanOrEqual(Math.floor(255 * (128 / 255) ** most));
      expect(bent[128]).toBeLessThanOrEqual(Math.ceil(255 * (128 / 255) ** (1 / most)));
    }),
  );
});

it("bends each image by itself", () => {
  const images = Uint8Array.from([...greys, ...greys]);
  bendTones(images, 2, 2, new Random(1));
  expect(images.slice(0, 256)).not.toEqual(images.slice(256));
});

it("leaves images and chance alone at 1", () => {
  const [images, random] = [greys.slice(), new Random(7)];
  bendTones(images, 1, 1, random);
  expect(images).toEqual(greys);
  expect(random.uniform()).toBe(new Random(7).uniform());
});
