/** The radiographs of shared/data, where they are: all transfer syntaxes, both photometric interpretations. */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compareWithOthers } from "@consilium/shared/fingerprint/compare";
import { sumOfFingerprints } from "@consilium/shared/fingerprint/histogram";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageCache } from "../dataset/cache.ts";
import { fingerprintOf, fingerprintOfCache } from "../dataset/fingerprint.ts";
import { labelledImages, readLabels } from "../dataset/labels.ts";
import { walkFiles } from "./folder.ts";
import { ingestFolder, type IngestSummary } from "./ingest.ts";

const data = resolve(import.meta.dirname, "../../../../shared/data/pediatric-cxr");
const hospitals = ["hospital-a", "hospital-b", "hospital-c", "test"];
const FILES = 30;
const SIZE = 48;

const present = existsSync(data);
if (!present) console.info("skipped: ../shared/data/pediatric-cxr is not here");

describe.skipIf(!present)("real chest radiographs", () => {
  let root: string;
  const summaries = new Map<string, IngestSummary>();
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "consilium-real-"));
    for (const hospital of hospitals) {
      const folder = join(root, hospital);
      await mkdir(folder);
      let taken = 0;
      for await (const { path } of walkFiles(join(data, hospital, "dicom"))) {
        if (taken >= FILES) break;
        await cp(path, join(folder, `${taken++}.dcm`));
      }
      const options = {
        folder,
        cacheDir: join(root, `${hospital}-cache`),
        secret: new Uint8Array(32).fill(1),
      };
      const labelsFile = join(data, hospital, "labels.csv");
      summaries.set(
        hospital,
        await ingestFolder({ ...options, sizePx: SIZE, threads: 2, labels: [labelsFile] }),
      );
    }
  }, 120_000);
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
  });

  async function images(hospital: string): Promise<{ pixels: Uint8Array; labels: Set<string> }> {
    const dir = join(root, `${hospital}-cache`);
    const cache = await openImageCache(dir);
    const pixels = new Uint8Array(cache.records.length * SIZE ** 2);
    cache.read(
      cache.records.map((_, i) => i),
      pixels,
    );
    const labels = new Set(labelledImages(cache.records, await readLabels(dir)).map(({ label }) => label));
    cache.close();
    return { pixels, labels };
  }

  for (const hospital of hospitals) {
    it(`${hospital}: every file is used and labelled`, async () => {
      expect(summaries.get(hospital)).toMatchObject({
        files: FILES,
        used: FILES,
        quarantined: {},
        labels: { matched: FILES, duplicates: 0, conflicts: 0 },
      });
      const { labels } = await images(hospital);
      expect(
        [...labels].every((label) => ["normal", "bacterial_pneumonia", "viral_pneumonia"].includes(label)),
      ).toBe(true);
    });

    it(`${hospital}: the spine is bright and the corners beside the neck are dark`, async () => {
      const { pixels } = await images(hospital);
      const mean = (x0: number, x1: number, y0: number, y1: number): number => {
        let sum = 0;
        for (let i = 0; i < FILES; i++)
          for (let y = y0; y < y1; y++)
            for (let x = x0; x < x1; x++) sum += pixels[i * SIZE ** 2 + y * SIZE + x] ?? 0;
        return sum / (FILES * (x1 - x0) * (y1 - y0));
      };
      const spine = mean(22, 26, 12, 40);
      const corners = (mean(0, 4, 0, 10) + mean(44, 48, 0, 10)) / 2;
      const lungs = (mean(10, 16, 16, 28) + mean(32, 38, 16, 28)) / 2;
      const belly = mean(18, 30, 42, 48);
      expect(spine).toBeGreaterThan(lungs + 30);
      expect(belly).toBeGreaterThan(lungs + 30);
      expect(corners).toBeLessThan(spine - 60);
    });
  }

  it("the hospitals are near each other, while negatives and thumbnails are far from them", async () => {
    const fingerprints = await Promise.all(
      hospitals.map((name) => fingerprintOfCache(join(root, `${name}-cache`))),
    );
    for (const own of fingerprints) {
      const { distances, unlike } = compareWithOthers(own, sumOfFingerprints(fingerprints));
      expect(unlike).toEqual([]);
      expect(Math.max(distances.intensity ?? NaN, distances.place ?? NaN)).toBeLessThan(0.03);
    }
    const [first, second] = fingerprints as [Uint32Array, Uint32Array];
    const cache = await openImageCache(join(root, "test-cache"));
    const unlike = (records: typeof cache.records, read: typeof cache.read): readonly string[] => {
      const odd = fingerprintOf(records, { ...cache, read });
      return compareWithOthers(odd, sumOfFingerprints([first, second, odd])).unlike;
    };
    const negative = (indices: ArrayLike<number>, out: Uint8Array): void => {
      cache.read(indices, out);
      for (let i = 0; i < out.length; i++) out[i] = 255 - (out[i] ?? 0);
    };
    expect(unlike(cache.records, negative)).toEqual(["place"]);
    // As PneumoniaMNIST has them.
    const thumbnails = cache.records.map((record) => ({ ...record, rows: 28, columns: 28 }));
    expect(
      unlike(thumbnails, (indices, out) => {
        cache.read(indices, out);
      }),
    ).toEqual(["size"]);
    cache.close();
  });

  it("leaves no planted identifier in any cache", async () => {
    for (const hospital of hospitals) {
      const dir = join(root, `${hospital}-cache`);
      for (const name of await readdir(dir))
        expect((await readFile(join(dir, name))).toString("latin1")).not.toMatch(/canary/i);
    }
  });
});
