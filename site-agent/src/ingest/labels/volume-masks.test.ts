import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageCache } from "../../dataset/cache.ts";
import { imageKey } from "../../dataset/keys.ts";
import { readLabels } from "../../dataset/labels.ts";
import { openMasks } from "../../dataset/masks.ts";
import { niftiMask } from "../../prediction/nifti-mask.ts";
import { ingestFolder } from "../ingest.ts";
import { SAGITTAL, writeEnhancedCt, writeNifti, type CtSeries } from "../testing/ct-series.ts";
import { put as putFile, putSeries, volumeProfile } from "../testing/volume-folder.ts";
import { openNifti } from "../volume/nifti.ts";
import { addLabels, type LabelSummary } from "./join.ts";
import { secret, writeSegmentation, type Frame } from "./testing/label-fixture.ts";

const SIZE = 16;
const DEPTH = 6;
const PROFILE = volumeProfile({
  cachePx: SIZE,
  volume: { depthPx: DEPTH, sliceSpacingMm: 20, pixelSpacingMm: 12 },
});
/** On the plan's own grid. */
const axial: CtSeries = {
  uid: "2.25.100",
  slices: DEPTH,
  rows: SIZE,
  columns: SIZE,
  spacingMm: [20, 12, 12],
};
const lying: CtSeries = {
  ...axial,
  directions: SAGITTAL,
  slices: 16,
  rows: 6,
  columns: 16,
  spacingMm: [12, 20, 12],
};

/** On slices of the axial series: a box of 3 slices, 4 rows and 5 columns. */
const inBox = (z: number, y: number, x: number): boolean =>
  z >= 2 && z < 5 && y >= 3 && y < 7 && x >= 8 && x < 13;
const BOX = Uint8Array.from({ length: DEPTH * SIZE ** 2 }, (_, i) =>
  Number(inBox(Math.floor(i / SIZE ** 2), Math.floor(i / SIZE) % SIZE, i % SIZE)),
);
const sliceOf = (z: number): number[] => [...BOX.subarray(z * SIZE ** 2, (z + 1) * SIZE ** 2)];

const fine = { ...lying, uid: "2.25.300", slices: 32, columns: 32, spacingMm: [6, 20, 6] as const };
const wide: CtSeries = { ...axial, spacingMm: [20, 12, 11.5] };

let root: string;
let images: string;
let cacheDir: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "consilium-volume-masks-"));
  images = path.join(root, "images");
  cacheDir = path.join(root, "cache");
  for (const series of [axial, fine, { ...axial, uid: "2.25.400" }, { ...axial, uid: "2.25.500" }])
    await putSeries(path.join(images, series.uid), series);
  await put("images/enhanced.dcm", await writeEnhancedCt({ ...axial, uid: "2.25.200" }));
  await put("images/sub-01/ct.nii.gz", gzipSync(writeNifti(lying)));
  await put("images/sub-02/case_0000.nii", writeNifti(wide));
  await ingestFolder({
    folder: images,
    cacheDir,
    secret,
    sizePx: SIZE,
    profile: PROFILE,
    niftiModality: "CT",
    threads: 1,
    minimumUsed: 0,
  });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const put = (file: string, bytes: Uint8Array | string): Promise<string> =>
  putFile(path.join(root, file), bytes);

const add = (...paths: string[]): Promise<LabelSummary> =>
  addLabels({ paths, cacheDir, secret, imagesFolder: images, profile: PROFILE });

/** Coverage by a class, or null where the volume has no masks. */
async function maskOf(key: string, label: string): Promise<Uint8Array | null> {
  const masks = await openMasks(cacheDir);
  if (masks?.images.has(key) !== true) return null;
  const voxels = masks.depthPx * masks.sizePx ** 2;
  const all = new Uint8Array(masks.classes.length * voxels);
  masks.read(key, all);
  masks.close();
  const at = masks.classes.indexOf(label);
  return at === -1 ? new Uint8Array(voxels) : all.slice(at * voxels, (at + 1) * voxels);
}

const asInside = (mask: Uint8Array | null): number[] => Array.from(mask ?? [], (value) => value / 255);

const segmentation = (
  frames: readonly Frame[],
  values: readonly number[],
  rows = SIZE,
): Promise<Uint8Array> =>
  writeSegmentation({ type: "BINARY", rows, columns: SIZE, segments: ["lung", "heart"], frames, values });

describe("masks of volumes", () => {
  it("come from a DICOM segmentation over a series; slices without a frame show nothing", async () => {
    const frames = [2, 3, 4].map((z) => ({ uid: `2.25.100.${z + 1}`, segment: 1 }));
    const seg = await put("seg/seg.dcm", await segmentation(frames, [2, 3, 4].flatMap(sliceOf)));
    expect(await add(seg)).toMatchObject({ matched: 1, unmatched: 0, duplicates: 0, unreadable: 0 });
    const key = imageKey(secret, "2.25.100");
    expect(asInside(await maskOf(key, "lung"))).toEqual([...BOX]);
    // Of a class of its own a later source adds to it; what is said twice is counted.
    const heart = await put(
      "heart/seg.dcm",
      await segmentation([{ uid: "2.25.100.1", segment: 2 }], sliceOf(2)),
    );
    expect(await add(heart, heart)).toMatchObject({ matched: 2 });
    expect(asInside(await maskOf(key, "lung"))).toEqual([...BOX]);
    expect(asInside(await maskOf(key, "heart")).slice(0, SIZE ** 2)).toEqual(sliceOf(2));
  });

  it("come frame by frame over an enhanced file, and from pictures of single slices", async () => {
    const nowhere = await segmentation([{ uid: "2.25.200.1", segment: 1 }], sliceOf(2));
    expect(await add(await put("nowhere/seg.dcm", nowhere))).toMatchObject({ matched: 0, unreadable: 1 });
    // Its frames lie from the head down.
    const frames = [2, 3, 4].map((z) => ({ uid: "2.25.200.1", frame: DEPTH - z, segment: 1 }));
    const seg = await put("seg/seg.dcm", await segmentation(frames, [2, 3, 4].flatMap(sliceOf)));
    expect(await add(seg)).toMatchObject({ matched: 1, unmatched: 0 });
    expect(asInside(await maskOf(imageKey(secret, "2.25.200.1"), "lung"))).toEqual([...BOX]);

    for (const z of [2, 3, 4]) {
      const data = Uint8Array.from(sliceOf(z), (value) => 200 * value);
      await put(
        `pictures/2.25.400.${z + 1}_lung.png`,
        encode({ width: SIZE, height: SIZE, data, channels: 1 }),
      );
    }
    expect(await add(path.join(root, "pictures"))).toMatchObject({ matched: 1, duplicates: 0 });
    expect(asInside(await maskOf(imageKey(secret, "2.25.400"), "lung"))).toEqual([...BOX]);
  });

  it("are turned and averaged as their volume was", async () => {
    // From right to left, from the head down, from front to back: each voxel of the box is 2 x 2 pixels, but for half of one column.
    const values = Array.from({ length: 32 }, (_, slice) =>
      Array.from({ length: 6 * 32 }, (_pixel, i) => {
        const [z, y, x] = [DEPTH - 1 - Math.floor(i / 32), Math.floor((i % 32) / 2), slice / 2];
        return Number(inBox(z, y, Math.floor(x)) && x < 12.5);
      }),
    );
    const frames = values.map((_, slice) => ({ uid: `2.25.300.${slice + 1}`, segment: 1 }));
    const seg = await writeSegmentation({
      type: "BINARY",
      rows: 6,
      columns: 32,
      segments: ["lung"],
      frames,
      values: values.flat(),
    });
    await add(await put("seg.dcm", seg));
    const mask = await maskOf(imageKey(secret, "2.25.300"), "lung");
    const expected = Array.from(BOX, (inside, i) => (inside === 0 ? 0 : i % SIZE === 12 ? 128 : 255));
    expect([...(mask ?? [])]).toEqual(expected);
  });

  it("come from NIfTI by the name of the volume's file, its folder or a class beside it, whichever way it lies", async () => {
    const size = [DEPTH, SIZE, SIZE] as const;
    // Drawn on an axial grid, while the volume is sagittal.
    await put("masks/ct_left lung.nii.gz", niftiMask(BOX, size, openNifti(writeNifti(axial)).affine));
    const thirds = BOX.map((value) => 3 * value);
    await put("masks/case.nii.gz", niftiMask(thirds, size, openNifti(writeNifti(wide)).affine));
    expect(await add(path.join(root, "masks"))).toMatchObject({ matched: 2, unmatched: 0, unreadable: 0 });
    const { records } = await openImageCache(cacheDir);
    const keys = records.filter(({ volume }) => volume?.composition === undefined).map(({ image }) => image);
    expect(keys).toHaveLength(2);
    expect(asInside(await maskOf(keys[0] ?? "", "left lung"))).toEqual([...BOX]);
    const third = await maskOf(keys[1] ?? "", "3");
    expect(third?.some((value) => value === 255)).toBe(true);

    const table = await put(
      "classes.csv",
      "sop_instance_uid,label\nct.nii.gz,normal\nsub-02/case_0000,tumour\n",
    );
    expect(await add(table)).toMatchObject({ matched: 2 });
    expect(await readLabels(cacheDir)).toEqual(
      new Map([
        [keys[0], "normal"],
        [keys[1], "tumour"],
      ]),
    );
  });

  it("are none where a part cannot be placed, has another size, or belongs to other slices", async () => {
    const key = imageKey(secret, "2.25.500");
    const frame = { uid: "2.25.500.3", segment: 1 };
    const unplaced = await put(
      "a/seg.dcm",
      await segmentation([frame, { uid: "", segment: 1 }], [2, 3].flatMap(sliceOf)),
    );
    expect(await add(unplaced)).toMatchObject({ matched: 0, unreadable: 1 });
    const small = await put("b/seg.dcm", await segmentation([frame], sliceOf(2).slice(0, 8 * SIZE), 8));
    expect(await add(small)).toMatchObject({ matched: 0, unreadable: 1 });
    const foreign = await put("c/seg.dcm", await segmentation([{ uid: "2.25.9.1", segment: 1 }], sliceOf(2)));
    await expect(add(foreign)).rejects.toMatchObject({ code: "labels.unmatched" });
    expect(await maskOf(key, "lung")).toBeNull();
    await expect(
      addLabels({ paths: [foreign], cacheDir, secret, imagesFolder: null, profile: PROFILE }),
    ).rejects.toMatchObject({ code: "labels.invalid" });
    await expect(
      addLabels({
        paths: [foreign],
        cacheDir,
        secret,
        imagesFolder: images,
        profile: { ...PROFILE, channels: 3 },
      }),
    ).rejects.toMatchObject({ code: "cache.wrong-profile" });
  });
});
