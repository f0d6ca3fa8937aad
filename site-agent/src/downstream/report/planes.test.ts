import { describe, expect, it } from "vitest";
import type { Case, CaseShapes } from "../types.ts";
import { picturesOf, tellingLayer } from "./planes.ts";

const sizePx = 3;
const depthPx = 4;
/** Each voxel's value says where it is: slice, row, column. */
const pixels = Uint8Array.from(
  { length: depthPx * sizePx ** 2 },
  (_, i) => 100 * Math.floor(i / 9) + 10 * (Math.floor(i / 3) % 3) + (i % 3),
).map((value) => value % 256);
const at = (z: number, y: number, x: number): number => (100 * z + 10 * y + x) % 256;

function volume(shapes: CaseShapes): Case {
  return { image: "", choice: "worst", goodness: 0, sizePx, depthPx, sliceStep: 2, pixels, shapes };
}

const masks = (said: readonly number[], truth: readonly number[]): CaseShapes => {
  const mask = (voxels: readonly number[]): Uint8Array =>
    Uint8Array.from({ length: pixels.length }, (_, i) => Number(voxels.includes(i)));
  return { kind: "masks", classes: ["lung"], said: [mask(said)], truth: [mask(truth)] };
};

describe("the pictures of a volume", () => {
  it("are slices through the middle, the head or the front on top", () => {
    const [axial, coronal, sagittal] = picturesOf(volume(masks([], [])));
    expect([axial?.plane, coronal?.plane, sagittal?.plane]).toEqual(["axial", "coronal", "sagittal"]);
    expect([...(axial?.pixels.subarray(0, 3) ?? [])]).toEqual([at(2, 0, 0), at(2, 0, 1), at(2, 0, 2)]);
    expect(coronal).toMatchObject({ rows: 4, columns: 3, pixelHeight: 2 });
    expect([...(coronal?.pixels.subarray(0, 3) ?? [])]).toEqual([at(3, 1, 0), at(3, 1, 1), at(3, 1, 2)]);
    expect([...(sagittal?.pixels.subarray(9) ?? [])]).toEqual([at(0, 0, 1), at(0, 1, 1), at(0, 2, 1)]);
  });

  it("are those on which masks differ, before those on which they agree", () => {
    const difference = 9 + 3 * 2; // Slice 1, row 2, column 0.
    const [axial, coronal, sagittal] = picturesOf(volume(masks([0, 1, 2, 3, difference], [0, 1, 2, 3])));
    expect(axial?.pixels[0]).toBe(at(1, 0, 0));
    expect(coronal?.pixels[0]).toBe(at(3, 2, 0));
    expect(sagittal?.pixels[0]).toBe(at(3, 0, 0));
    const marked = new Uint8Array(36).fill(1, difference, difference + 1);
    expect(axial?.cut(marked)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0, 0));
  });

  it("show the layer that moved the network most", () => {
    const saliency = { grid: 1, layers: 2, values: Float32Array.of(0.5, -1) };
    expect(tellingLayer(saliency)).toMatchObject({ layer: 1, map: Float32Array.of(-1) });
    const shapes = { kind: "classes", said: "a", truth: "b", probability: 0, saliency } as const;
    expect(picturesOf(volume(shapes))[0]?.pixels[0]).toBe(at(3, 0, 0));
  });

  it("of an image are the image", () => {
    const image = { ...volume(masks([], [])), depthPx: 1, pixels: pixels.slice(0, 9) };
    expect(picturesOf(image)).toMatchObject([{ plane: null, rows: 3, columns: 3, pixelHeight: 1 }]);
  });
});
