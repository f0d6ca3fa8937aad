import { describe, expect, it } from "vitest";
import { imageKey } from "../../dataset/keys.ts";
import { fitOf } from "./frame-plane.ts";
import { NO_IMAGES, type ImageGeometry, type ImagePlane, type Triple } from "./geometry.ts";
import { readLabelObject } from "./label-object.ts";
import { readSegmentation } from "./segmentation.ts";
import { secret, sequence, writeSegmentation } from "./testing/label-fixture.ts";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const UID = "1.2.3";
/** 2 rows of 3 columns, half a millimetre wide and 2 mm high. */
const plane: ImagePlane = { position: [10, -20, 5], alongRow: [0.5, 0, 0], alongColumn: [0, 2, 0] };
const image: ImageGeometry = { image: imageKey(secret, UID), rows: 2, columns: 3, plane };
const mask = { rows: 2, columns: 3, values: Float32Array.of(1, 2, 3, 4, 5, 6) };
const placed = (position: Triple, alongRow: Triple, alongColumn: Triple): ImagePlane => ({
  position,
  alongRow,
  alongColumn,
});
const valuesOn = (own: ImagePlane, drawn = mask): readonly number[] | null => {
  const found = fitOf(own, drawn, image)?.(drawn).values;
  return found === undefined ? null : [...found];
};

describe("a frame on its image", () => {
  it("is as it is where it lies so, or where one of the two does not say", () => {
    expect(valuesOn(plane)).toEqual([...mask.values]);
    expect(valuesOn({ ...plane, position: [10.02, -20, 5] })).toEqual([...mask.values]);
    expect(fitOf(null, mask, image)?.(mask)).toBe(mask);
    expect(fitOf(plane, mask, { ...image, plane: null })?.(mask)).toBe(mask);
    const coarse = { rows: 1, columns: 3, values: Float32Array.of(1, 2, 3) };
    expect(fitOf(placed([10, -19, 5], [0.5, 0, 0], [0, 4, 0]), coarse, image)?.(coarse)).toBe(coarse);
  });

  it("is turned back, or put in its place, pixel by pixel", () => {
    expect(valuesOn(placed([11, -20, 5], [-0.5, 0, 0], [0, 2, 0]))).toEqual([3, 2, 1, 6, 5, 4]);
    expect(valuesOn(placed([11, -18, 5], [-0.5, 0, 0], [0, -2, 0]))).toEqual([6, 5, 4, 3, 2, 1]);
    const across = { rows: 3, columns: 2, values: Float32Array.of(1, 4, 2, 5, 3, 6) };
    expect(valuesOn(placed([10, -20, 5], [0, 2, 0], [0.5, 0, 0]), across)).toEqual([...mask.values]);
    const part = { rows: 1, columns: 2, values: Float32Array.of(8, 9) };
    expect(valuesOn(placed([10.5, -18, 5], [0.5, 0, 0], [0, 2, 0]), part)).toEqual([0, 0, 0, 0, 8, 9]);
  });

  it("is none where it lies elsewhere, on another slice, or between the pixels", () => {
    expect(valuesOn({ ...plane, position: [100, -20, 5] })).toBeNull();
    expect(valuesOn({ ...plane, position: [10, -20, 6] })).toBeNull();
    expect(valuesOn({ ...plane, position: [10.2, -20, 5] })).toBeNull();
    expect(valuesOn(placed([10, -20, 5], [0.5, 0, 0], [0, 0, 2]))).toBeNull();
  });

  it("is compared in segmentations; what lies elsewhere is unreadable", async () => {
    const dir = await mkdtemp(join(tmpdir(), "consilium-planes-"));
    try {
      const kinds = async (position: string, orientation: string) => {
        const file = await writeSegmentation({
          type: "BINARY",
          rows: 2,
          columns: 3,
          segments: ["lung"],
          frames: [{ uid: UID, segment: 1 }],
          values: [1, 0, 0, 0, 0, 0],
          elements: [
            sequence("52009229", [
              sequence("00209113", [["00200032", "DS", position]]),
              sequence("00209116", [["00200037", "DS", orientation]]),
              sequence("00289110", [["00280030", "DS", "2\\0.5"]]),
            ]),
          ],
        });
        const path = join(dir, "seg.dcm");
        await writeFile(path, file);
        const index = { ...NO_IMAGES, images: new Map([[image.image, image]]) };
        const found = [];
        for await (const item of readSegmentation(readLabelObject(path), secret, () =>
          Promise.resolve(index),
        ))
          found.push(item.kind === "mask" ? [...item.mask.values] : item.kind);
        return found;
      };
      expect(await kinds("11\\-20\\5", "-1\\0\\0\\0\\1\\0")).toEqual(["looked-at", [0, 0, 255, 0, 0, 0]]);
      expect(await kinds("10\\-20\\8", "1\\0\\0\\0\\1\\0")).toEqual(["unreadable"]);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
