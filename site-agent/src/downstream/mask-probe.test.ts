import { expect, it } from "vitest";
import { maskOverlaps } from "./mask-probe.ts";

/** Patches each way; those of two columns are inside, and say so. */
const SIDE = 8;
const isInside = (patch: number): boolean => [2, 3].includes(patch % SIDE);

/** Masks on the grid of the patches. */
const image = (patient: number) => ({
  patient: `patient-${patient}`,
  tokens: Float32Array.from({ length: SIDE ** 2 }, (_, patch) => Number(isInside(patch))),
  masks: [Uint8Array.from({ length: SIDE ** 2 }, (_, patch) => (isInside(patch) ? 255 : 0))],
});

// From 224 and 480 images a head would learn from each fourth and eighth patch: the same columns of every image.
it.each([64, 224, 480])("learns from patches of all columns, however many images there are (%i)", (count) => {
  const images = Array.from({ length: count }, (_, i) => image(i));
  const found = maskOverlaps(images, 1, SIDE, 0.5);
  expect(found?.sizes[0]).toBeGreaterThan(0);
  expect((2 * (found?.intersections[0] ?? 0)) / (found?.sizes[0] ?? 1)).toBeGreaterThan(0.9);
  expect(maskOverlaps(images, 1, SIDE, 0.5)).toEqual(found);
});
