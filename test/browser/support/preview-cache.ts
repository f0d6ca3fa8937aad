/** A cache of three modalities for the preview page, through the real ingest: phantom radiographs, CT slices, ultrasound. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeHospital } from "../../../deploy/demo/phantom/hospital.ts";
import { HOSPITALS } from "../../../deploy/demo/phantom/vendors.ts";
import { Random } from "../../../site-agent/src/dataset/random.ts";
import { ingestFolder } from "../../../site-agent/src/ingest/ingest.ts";
import { writeDicom, type FixtureElement } from "../../../site-agent/src/ingest/testing/dicom-fixture.ts";
import { packSamples } from "../../../site-agent/src/ingest/testing/synthetic-image.ts";

export const SLICES = 6;
export const SONOGRAMS = 6;
/** What hospital-b gives at least: stored inverted (MONOCHROME1). */
export const RADIOGRAPHS = 8;

/** @param folder is made, with the images and `cache/` in it; @returns the cache's folder */
export async function makePreviewCache(folder: string, sizePx: number): Promise<string> {
  const images = path.join(folder, "images");
  const inverted = HOSPITALS.find(({ name }) => name === "hospital-b");
  if (inverted === undefined) throw new Error("hospital-b stores its images inverted");
  await makeHospital(path.join(images, "radiographs"), inverted, { seed: 5, images: 1 });
  await mkdir(path.join(images, "others"));
  for (let number = 0; number < SLICES; number++)
    await writeFile(path.join(images, "others", `ct-${number}.dcm`), await slice(number));
  for (let number = 0; number < SONOGRAMS; number++)
    await writeFile(path.join(images, "others", `us-${number}.dcm`), await sonogram(number));
  const cacheDir = path.join(folder, "cache");
  const secret = new Uint8Array(32).fill(9);
  await ingestFolder({ folder: images, cacheDir, secret, sizePx, threads: 1 });
  return cacheDir;
}

/** A section through a chest in HU: skin, lungs, heart, spine. */
function slice(number: number): Promise<Uint8Array> {
  const random = new Random(11, number);
  const [rows, columns] = [192, 192];
  const [width, depth] = [84 + 3 * random.normal(), 58 + 3 * random.normal()];
  const stored: number[] = [];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [u, v] = [(x - 96) / width, (y - 100) / depth];
      const inside = (cu: number, cv: number, ru: number, rv: number): boolean =>
        ((u - cu) / ru) ** 2 + ((v - cv) / rv) ** 2 < 1;
      let hounsfield = -1000;
      if (inside(0, 0, 1, 1)) hounsfield = -90;
      if (inside(0, 0, 0.92, 0.88)) hounsfield = 45;
      if (inside(-0.44, -0.02, 0.36, 0.68) || inside(0.44, -0.02, 0.36, 0.68))
        hounsfield = -820 + 160 * Math.sin(9 * u + number) * Math.cos(11 * v);
      if (inside(0.14, -0.15, 0.3, 0.36)) hounsfield = 60;
      if (inside(0, 0.62, 0.13, 0.19)) hounsfield = 420;
      stored.push(Math.max(0, Math.round(hounsfield + 1024 + 18 * random.normal())));
    }
  }
  return dicom({ rows, columns, bitsAllocated: 16, bitsStored: 12, stored }, `2.25.7${number}`, [
    ["00080060", "CS", "CT"],
    ["00080070", "LO", "SIEMENS"],
    ["00180015", "CS", "CHEST"],
    ["00280030", "DS", "0.78\\0.78"],
    ["00281052", "DS", "-1024"],
    ["00281053", "DS", "1"],
  ]);
}

/** A sector of speckle below a banner as bright as text; only the sector is declared. */
function sonogram(number: number): Promise<Uint8Array> {
  const random = new Random(12, number);
  const [rows, columns] = [200, 240];
  const stored: number[] = [];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [dx, dy] = [x - 120, y - 24];
      const range = Math.hypot(dx, dy);
      const isSector = dy > 0 && Math.abs(Math.atan2(dx, dy)) < 0.62 && range > 18 && range < 160;
      const cyst = Math.hypot(dx - 14 * Math.sin(number), dy - 80 - 4 * number) < 22;
      const speckle = Math.abs(random.normal()) * (cyst ? 6 : 55) * Math.exp(-range / 190);
      const isBanner = y < 18 && x % 7 < 4 && y % 9 > 3;
      stored.push(Math.min(255, Math.round(isBanner ? 255 : isSector ? 12 + speckle : 0)));
    }
  }
  const corner = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0);
  return dicom({ rows, columns, bitsAllocated: 8, bitsStored: 8, stored }, `2.25.8${number}`, [
    ["00080060", "CS", "US"],
    ["00080070", "LO", "GE Healthcare"],
    ["00180015", "CS", "ABDOMEN"],
    [
      "00186011",
      "SQ",
      {
        items: [
          [
            ["00186012", "US", 1],
            ["00186014", "US", 1],
            ["00186018", "UL", corner(24)],
            ["0018601a", "UL", corner(24)],
            ["0018601c", "UL", corner(215)],
            ["0018601e", "UL", corner(187)],
          ],
        ],
      },
    ],
  ]);
}

function dicom(
  image: {
    readonly rows: number;
    readonly columns: number;
    readonly bitsAllocated: number;
    readonly bitsStored: number;
    readonly stored: readonly number[];
  },
  uid: string,
  elements: readonly FixtureElement[],
): Promise<Uint8Array> {
  const { stored, ...format } = image;
  const data = packSamples(stored, image.bitsAllocated);
  return writeDicom(
    { ...format, samples: 1, signed: false, photometric: "MONOCHROME2", data },
    { elements: [["00080018", "UI", uid], ["00100020", "LO", uid], ...elements] },
  );
}
