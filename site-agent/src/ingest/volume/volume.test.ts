import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openImageCache, type CachedImages } from "../../dataset/cache.ts";
import { imageKey } from "../../dataset/keys.ts";
import { recordBytes } from "../../dataset/types.ts";
import { ingestFolder, type IngestSummary } from "../ingest.ts";
import {
  phantomHu,
  SAGITTAL,
  writeCtSeries,
  writeEnhancedCt,
  writeNifti,
  type CtSeries,
} from "../testing/ct-series.ts";
import type { FixtureElement } from "../testing/dicom-fixture.ts";
import { put as putFile, putSlices, volumeProfile } from "../testing/volume-folder.ts";

const SIZE = 24;
const PROFILE = volumeProfile({
  cachePx: SIZE,
  volume: { depthPx: 16, sliceSpacingMm: 10, pixelSpacingMm: 8 },
  channels: 3,
});
const series: CtSeries = {
  uid: "2.25.100",
  slices: 34,
  rows: 48,
  columns: 64,
  spacingMm: [5, 4, 4],
};
/** The same body, cut from right to left. */
const sagittal: CtSeries = {
  ...series,
  uid: "2.25.200",
  directions: SAGITTAL,
  slices: 50,
  rows: 50,
  columns: 40,
  spacingMm: [4, 4, 4],
};

const secret = new Uint8Array(32).fill(9);
let root: string;
let cacheDir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-volume-"));
  cacheDir = join(root, "cache");
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const put = (file: string, bytes: Uint8Array): Promise<string> => putFile(join(root, "in", file), bytes);
const putSeries = (folder: string, slices: readonly Uint8Array[]): Promise<string[]> =>
  putSlices(join(root, "in", folder), slices);

const run = (threads = 1): Promise<IngestSummary> =>
  ingestFolder({
    folder: join(root, "in"),
    cacheDir,
    secret,
    sizePx: SIZE,
    profile: PROFILE,
    niftiModality: "CT",
    threads,
    minimumUsed: 0,
  });

async function withCache<T>(use: (cache: CachedImages) => T): Promise<T> {
  const cache = await openImageCache(cacheDir);
  try {
    return use(cache);
  } finally {
    cache.close();
  }
}

function volumeOf(cache: CachedImages, index: number): Uint8Array {
  const out = new Uint8Array(recordBytes(cache));
  cache.read([index], out);
  return out;
}

const VOXELS = 16 * SIZE ** 2;
const meanDifference = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] ?? 0)), 0) / a.length;

describe("volumes", () => {
  it("come out of a series' slices as the body lies in space, in three windows", async () => {
    await putSeries("a", await writeCtSeries(series));
    expect(await run()).toMatchObject({ files: 34, used: 34, volumes: 1, quarantined: {} });
    await withCache((cache) => {
      expect(cache).toMatchObject({ sizePx: SIZE, depthPx: 16, channels: 3 });
      expect(cache.records).toMatchObject([
        {
          image: imageKey(secret, series.uid),
          modality: "CT",
          rows: 48,
          columns: 64,
          volume: { slices: 34, spacingMm: [5, 4, 4] },
        },
      ]);
      const volume = volumeOf(cache, 0);
      const at = (x: number, y: number, z: number): number =>
        (Math.floor(z / 10 + 8) * SIZE + Math.floor(y / 8 + 12)) * SIZE + Math.floor(x / 8 + 12);
      const lung = (place: number): number => volume[place] ?? NaN;
      const bone = (place: number): number => volume[2 * VOXELS + place] ?? NaN;
      expect(phantomHu(35, 0, 10)).toBe(-800);
      expect(lung(at(35, 0, 10))).toBeGreaterThan(80);
      expect(lung(at(35, 0, 10))).toBeLessThan(105);
      expect(lung(at(0, -30, 0))).toBeGreaterThan(220);
      expect(bone(at(0, 45, 0))).toBeGreaterThan(110);
      expect(bone(at(0, -45, 0))).toBeLessThan(90);
      // Liver: to the right and below. Left stays left.
      const soft = (place: number): number => volume[VOXELS + place] ?? NaN;
      expect(soft(at(-30, -10, -58))).toBeGreaterThan(soft(at(30, -10, -58)) + 10);
    });
  });

  it("are the same however they were cut: axial, sagittal, feet last, enhanced, NIfTI", async () => {
    await putSeries("a", await writeCtSeries(series));
    await putSeries("b", await writeCtSeries(sagittal));
    const fromHead: CtSeries = {
      ...series,
      uid: "2.25.300",
      directions: [
        [-1, 0, 0],
        [0, 1, 0],
        [0, 0, -1],
      ],
    };
    await putSeries("c", (await writeCtSeries(fromHead)).toReversed());
    await put("d.dcm", await writeEnhancedCt({ ...series, uid: "2.25.400" }));
    await put("sub-07/ct.nii", writeNifti(series));
    await put("sub-07/other.nii.gz", gzipSync(writeNifti(sagittal)));
    const { volumes, quarantined } = await run(2);
    expect({ volumes, quarantined }).toEqual({ volumes: 6, quarantined: {} });
    await withCache((cache) => {
      const [first = new Uint8Array(), ...others] = cache.records.map((_, i) => volumeOf(cache, i));
      expect(Math.max(...first)).toBe(255);
      for (const other of others) expect(meanDifference(first, other)).toBeLessThan(5);
      // One patient in DICOM, one subject in NIfTI.
      const volumesOf = (patient: string): number =>
        cache.records.filter((record) => record.patient === patient).length;
      expect(cache.records.map(({ patient }) => volumesOf(patient)).sort()).toEqual([2, 2, 4, 4, 4, 4]);
    });
  });

  it("of a tilted gantry are straightened", async () => {
    const tilt = Math.PI / 9;
    const [sin, cos] = [Math.sin(tilt), Math.cos(tilt)];
    const straight: CtSeries = {
      ...series,
      spacingMm: [5 * cos, 4, 4],
      directions: [
        [1, 0, 0],
        [0, cos, sin],
        [0, -sin, cos],
      ],
    };
    // The table moves along the body and not along the slices' normal.
    const table: CtSeries["directions"] = [
      [1, 0, 0],
      [0, cos, sin],
      [0, 0, 1],
    ];
    await putSeries("a", await writeCtSeries(straight));
    await putSeries("b", await writeCtSeries({ ...series, uid: "2.25.300", directions: table }));
    expect(await run()).toMatchObject({ used: 68, volumes: 2, quarantined: {} });
    await withCache((cache) => {
      const [first, second] = [volumeOf(cache, 0), volumeOf(cache, 1)];
      expect(cache.records[1]?.volume?.spacingMm[0]).toBeCloseTo(5 * cos, 2);
      expect(meanDifference(first, second)).toBeLessThan(3);
      expect(Math.max(...second)).toBe(255);
    });
  });

  it("are read once; a second ingest finds them", async () => {
    await putSeries("a", await writeCtSeries({ ...series, slices: 8 }));
    await put("b.nii", writeNifti({ ...series, slices: 8 }));
    const first = await run();
    const bytes = await readFile(join(cacheDir, "shard-00000.u8"));
    expect(await run()).toEqual(first);
    expect(await readFile(join(cacheDir, "shard-00000.u8"))).toEqual(bytes);
  });

  it("grow with their series, and are not replaced by a part of it", async () => {
    const slices = await writeCtSeries({ ...series, slices: 12 });
    await putSeries("other", await writeCtSeries({ ...series, uid: "2.25.500", slices: 6 }));
    await putSeries("a", slices.slice(0, 6));
    expect(await run()).toMatchObject({ used: 12, volumes: 2 });
    const [part, other] = await withCache((cache) => [volumeOf(cache, 0), volumeOf(cache, 1)]);
    await rm(join(root, "in", "a"), { recursive: true });
    // As many slices, but others.
    await putSeries("a", slices.slice(6));
    expect(await run()).toMatchObject({ used: 6, quarantined: { "volume.changed": 6 } });
    await rm(join(root, "in", "a"), { recursive: true });
    await putSeries("a", slices);
    expect(await run()).toMatchObject({ used: 18, volumes: 2, quarantined: {} });
    await withCache((cache) => {
      expect(cache.records.map(({ volume }) => volume?.slices)).toEqual([12, 6]);
      expect(meanDifference(volumeOf(cache, 0), part)).toBeGreaterThan(1);
      expect(volumeOf(cache, 1)).toEqual(other);
    });
    await rm(join(root, "in", "a"), { recursive: true });
    await putSeries("a", slices.slice(0, 6));
    expect(await run()).toMatchObject({ used: 6, quarantined: { "volume.changed": 6 } });
  });

  it("take what fits in none aside, each slice for its reason", async () => {
    const small: CtSeries = { ...series, slices: 8, rows: 12, columns: 16 };
    const shifted = (n: number, x: number, y: number, z: number): FixtureElement => [
      "00200032",
      "DS",
      `${x}\\${y}\\${z + 5 * n}`,
    ];
    await putSeries("scout", await writeCtSeries({ ...small, uid: "2.25.1", slices: 2 }));
    await putSeries("gap", (await writeCtSeries({ ...small, uid: "2.25.2" })).toSpliced(3, 1));
    await putSeries(
      "tilted",
      await writeCtSeries({ ...small, uid: "2.25.3", elements: (n) => [shifted(n, 0, 6 * n, 0)] }),
    );
    const repeated = await writeCtSeries({ ...small, uid: "2.25.4" });
    const [again] = await writeCtSeries({
      ...small,
      uid: "2.25.4",
      elements: () => [["00080018", "UI", "2.25.4.99"]],
    });
    await putSeries("repeated", [...repeated, again ?? new Uint8Array()]);
    await putSeries(
      "nowhere",
      await writeCtSeries({ ...small, uid: "2.25.5", slices: 1, elements: () => [["00200037", "DS", ""]] }),
    );
    await put("cut.nii", writeNifti(small).subarray(0, 900));
    await put("broken.nii.gz", gzipSync(writeNifti(small)).subarray(0, -20));
    const fourD = writeNifti(small);
    new DataView(fourD.buffer).setInt16(40, 4, true);
    new DataView(fourD.buffer).setInt16(48, 2, true);
    await put("time.nii", fourD);
    // Two phases of one series, and a localizer among them: two volumes, the localizer aside.
    const phase = (number: number) =>
      writeCtSeries({
        ...small,
        uid: "2.25.6",
        elements: (n) => [
          ["00080018", "UI", `2.25.6.${number}.${n}`],
          ["00200013", "IS", `${number * 100 + n}`],
        ],
      });
    await putSeries("phases/1", await phase(1));
    await putSeries("phases/2", await phase(2));
    await putSeries(
      "phases/scout",
      await writeCtSeries({
        ...sagittal,
        uid: "2.25.6",
        slices: 1,
        elements: () => [["00080018", "UI", "2.25.7"]],
      }),
    );
    expect(await run()).toMatchObject({
      volumes: 2,
      used: 16,
      quarantined: {
        "volume.too-few-slices": 3,
        "volume.gap": 7,
        "volume.tilted": 8,
        "volume.repeated": 9,
        "volume.no-position": 1,
        "nifti.unreadable": 2,
        "nifti.unsupported": 1,
      },
    });
  });

  it("hold nothing that identifies", async () => {
    await putSeries("CANARY", await writeCtSeries({ ...series, slices: 8 }));
    await put("sub-CANARY/CANARY.nii", writeNifti({ ...series, slices: 8 }));
    const summary = await run();
    const files = await Promise.all(
      (await readdir(cacheDir)).map((name) => readFile(join(cacheDir, name), "latin1")),
    );
    for (const text of [...files, JSON.stringify(summary)]) {
      expect(text).not.toContain("CANARY");
      expect(text).not.toContain(series.uid);
    }
  });
});
