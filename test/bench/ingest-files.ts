/** Files that the ingest benchmark reads: chest-like 512 x 512 pictures of 16 bits, in several transfer syntaxes. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { writeDicom } from "../../site-agent/src/ingest/testing/dicom-fixture.ts";
import type { FixtureImage } from "../../site-agent/src/ingest/testing/synthetic-image.ts";

export const KINDS = ["uncompressed", "jpeg-lossless", "jpeg-2000"] as const;
export type Kind = (typeof KINDS)[number];

export const SIDE_PX = 512;
/** Enough that no two passes meet the same file at once; the disk's cache holds them all. */
const IMAGES = 16;

/** @returns the files' paths by kind */
export async function makeFiles(folder: string): Promise<Readonly<Record<Kind, readonly string[]>>> {
  const paths: Record<Kind, string[]> = { uncompressed: [], "jpeg-lossless": [], "jpeg-2000": [] };
  for (const kind of KINDS) {
    await mkdir(path.join(folder, kind));
    for (let number = 0; number < IMAGES; number++) {
      const file = path.join(folder, kind, `${number}.dcm`);
      const syntax = kind === "uncompressed" ? "explicit" : kind;
      const uid = ["00080018", "UI", `2.25.${number + 1}`] as const;
      await writeFile(file, await writeDicom(picture(number), { syntax, elements: [uid] }));
      paths[kind].push(file);
    }
  }
  return paths;
}

/** Smooth shapes with the noise of a detector, about 6 of the 16 bits. */
function picture(seed: number): FixtureImage {
  const values = new Uint16Array(SIDE_PX ** 2);
  let state = seed + 1;
  for (let y = 0; y < SIDE_PX; y++) {
    for (let x = 0; x < SIDE_PX; x++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const shape = Math.sin((x + seed * 17) / 90) * Math.cos(y / 70) * 14_000 + 20 * x + 10 * y;
      values[y * SIDE_PX + x] = 24_000 + shape + (state >>> 26);
    }
  }
  return {
    rows: SIDE_PX,
    columns: SIDE_PX,
    samples: 1,
    bitsAllocated: 16,
    bitsStored: 16,
    signed: false,
    photometric: "MONOCHROME2",
    data: new Uint8Array(values.buffer),
  };
}
