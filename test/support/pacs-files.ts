/** DICOM files as a hospital has them, with CANARY in every header element and file name that may identify someone. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { writeDicom, type FixtureElement } from "../../site-agent/src/ingest/testing/dicom-fixture.ts";
import { syntheticImage } from "../../site-agent/src/ingest/testing/synthetic-image.ts";

export interface PacsFile {
  readonly path: string;
  readonly sopInstanceUid: string;
  /** Set aside by its header: text may be burned into its pixels. */
  readonly isQuarantined: boolean;
}

export interface PacsFilesOptions {
  readonly sidePx?: number;
  /** Studies that the files are spread over; two series each. */
  readonly studies?: number;
}

/** Every tenth is set aside, every fifth compressed. */
export async function makePacsFiles(
  folder: string,
  count: number,
  { sidePx = 48, studies = 4 }: PacsFilesOptions = {},
): Promise<readonly PacsFile[]> {
  await mkdir(folder, { recursive: true });
  const files: PacsFile[] = [];
  for (let n = 0; n < count; n++) {
    const isQuarantined = n % 10 === 7;
    const study = n % studies;
    const sopInstanceUid = `2.25.1000.${n}`;
    const elements: FixtureElement[] = [
      ["00080018", "UI", sopInstanceUid],
      ["00080020", "DA", `202401${String(10 + study)}`],
      ["00080050", "SH", "CANARY-ACC"],
      ["00080080", "LO", "CANARY HOSPITAL"],
      ["00100010", "PN", `CANARY^NAME${study}`],
      ["00100020", "LO", `CANARY${study}`],
      ["00100030", "DA", "19500101"],
      ["0020000d", "UI", `2.25.2000.${study}`],
      ["0020000e", "UI", `2.25.3000.${study}.${Math.floor(n / studies) % 2}`],
      ["00200010", "SH", "CANARY-ID"],
      ["00280301", "CS", isQuarantined ? "YES" : "NO"],
    ];
    const image = syntheticImage({
      seed: n,
      rows: sidePx,
      columns: sidePx,
      bitsAllocated: 16,
      bitsStored: 12,
    });
    const bytes = await writeDicom(image, { syntax: n % 5 === 4 ? "jpeg-lossless" : "explicit", elements });
    const file = path.join(folder, `CANARY-${String(n).padStart(5, "0")}.dcm`);
    await writeFile(file, withSopInstance(bytes, sopInstanceUid));
    files.push({ path: file, sopInstanceUid, isQuarantined });
  }
  return files;
}

/** The fixture's meta header names image 2.25.1; storescu announces what the meta header says. */
export function withSopInstance(bytes: Uint8Array, uid: string): Uint8Array {
  const buffer = Buffer.from(bytes);
  const start = buffer.indexOf(Buffer.from([0x02, 0x00, 0x03, 0x00, 0x55, 0x49]));
  const end = start + 8 + buffer.readUInt16LE(start + 6);
  const value = Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, "latin1");
  const header = Buffer.from(buffer.subarray(start, start + 8));
  header.writeUInt16LE(value.length, 6);
  return Buffer.concat([buffer.subarray(0, start), header, value, buffer.subarray(end)]);
}
