/** The hospitals that take part: sub-folders of one folder, the one named `test` being what everyone is tested on. */
import { open, readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { siteIdSchema, type SiteId } from "@consilium/shared/ids";
import dicomParser from "dicom-parser";

export interface HospitalFolder {
  readonly site: SiteId;
  /** Where the images are: its sub-folder `dicom` if it has one. */
  readonly images: string;
  /** Null if the hospital has no labels. */
  readonly labels: string | null;
}

export interface Hospitals {
  readonly folder: string;
  readonly sites: readonly HospitalFolder[];
  readonly test: HospitalFolder;
}

/** Name of the sub-folder that no site trains on. */
const TEST = "test";

/** @throws ingest.folder-missing, config.invalid naming what the folder lacks */
export async function findHospitals(folder: string): Promise<Hospitals> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new ConsiliumError("ingest.folder-missing", { detail: "(--data)", culprits: ["data"], cause });
  });
  const names = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .sort();
  const found = await Promise.all(names.map((name) => describe(folder, name)));
  const test = found.find(({ site }) => site === TEST);
  const sites = found.filter((each) => each !== test);
  if (sites.length < 2)
    throw invalid("--data: give a folder with at least two hospitals, one sub-folder each");
  if (test?.labels == null) throw invalid("--data: there is no sub-folder named test with a labels.csv");
  if (!sites.some(({ labels }) => labels !== null)) throw invalid("--data: no hospital has a labels.csv");
  if (new Set(sites.map(({ site }) => site)).size !== sites.length) {
    throw invalid("--data: two sub-folders have the same name but for case and signs");
  }
  return { folder, sites, test };
}

const invalid = (detail: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${detail})`, culprits: ["data"] });

async function describe(parent: string, name: string): Promise<HospitalFolder> {
  const folder = join(parent, name);
  const labels = join(folder, "labels.csv");
  const dicom = join(folder, "dicom");
  const [hasLabels, hasDicom] = await Promise.all([
    stat(labels).then((info) => info.isFile(), no),
    stat(dicom).then((info) => info.isDirectory(), no),
  ]);
  return { site: siteName(name), images: hasDicom ? dicom : folder, labels: hasLabels ? labels : null };
}

const no = (): boolean => false;

/** A folder's name as a DNS label. */
function siteName(name: string): SiteId {
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replace(/^-+|-+$/g, "");
  const parsed = siteIdSchema.safeParse(slug);
  if (!parsed.success) throw invalid(`--data: ${basename(name)} is no name for a site`);
  return parsed.data;
}

/** How a hospital writes its images; counts by transfer syntax and photometric interpretation. */
export interface Formats {
  readonly transferSyntaxes: readonly { readonly name: string; readonly files: number }[];
  readonly photometricInterpretations: readonly string[];
  readonly bitsStored: readonly number[];
}

const SYNTAX_NAMES: Readonly<Record<string, string>> = {
  "1.2.840.10008.1.2": "Implicit VR Little Endian",
  "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
  "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
  "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
  "1.2.840.10008.1.2.4.50": "JPEG Baseline",
  "1.2.840.10008.1.2.4.51": "JPEG Extended",
  "1.2.840.10008.1.2.4.57": "JPEG Lossless",
  "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
  "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
  "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
  "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
  "1.2.840.10008.1.2.4.91": "JPEG 2000",
  "1.2.840.10008.1.2.5": "RLE Lossless",
};

/** Headers of small images end well before this. */
const HEADER_BYTES = 16 * 1024;
/** More would only slow the demo down: the formats of a large folder are those of its sample. */
const SAMPLE = 400;

/** Reads the technical tags alone; files without them are left out. */
export async function readFormats(images: string): Promise<Formats> {
  const entries = await readdir(images, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".dcm"));
  const every = Math.max(1, Math.ceil(files.length / SAMPLE));
  const syntaxes = new Map<string, number>();
  const photometric = new Set<string>();
  const bits = new Set<number>();
  for (let i = 0; i < files.length; i += every) {
    const entry = files[i];
    if (entry === undefined) continue;
    const tags = technicalTags(await readHead(join(entry.parentPath, entry.name)));
    if (tags === null) continue;
    const name = SYNTAX_NAMES[tags.syntax] ?? tags.syntax;
    syntaxes.set(name, (syntaxes.get(name) ?? 0) + every);
    photometric.add(tags.photometric);
    bits.add(tags.bitsStored);
  }
  return {
    transferSyntaxes: [...syntaxes].map(([name, count]) => ({ name, files: count })),
    photometricInterpretations: [...photometric].sort(),
    bitsStored: [...bits].sort((a, b) => a - b),
  };
}

function technicalTags(head: Uint8Array): { syntax: string; photometric: string; bitsStored: number } | null {
  try {
    const dataSet = dicomParser.parseDicom(head, { untilTag: "x00280102" });
    const syntax = dataSet.string("x00020010");
    const photometric = dataSet.string("x00280004");
    const bitsStored = dataSet.uint16("x00280101");
    return syntax === undefined || photometric === undefined || bitsStored === undefined
      ? null
      : { syntax, photometric, bitsStored };
  } catch {
    // Not DICOM, or cut before its pixels: ingest says so where it counts.
    return null;
  }
}

async function readHead(file: string): Promise<Uint8Array> {
  const handle = await open(file);
  try {
    const { bytesRead, buffer } = await handle.read(new Uint8Array(HEADER_BYTES), 0, HEADER_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The classes of a label file and how many images have each; identifiers are not kept. */
export async function countClasses(labels: string): Promise<ReadonlyMap<string, number>> {
  const [head = "", ...rows] = (await readFile(labels, "utf8")).split(/\r?\n/);
  const column = head.split(",").indexOf("label");
  const counts = new Map<string, number>();
  for (const row of rows) {
    const label = row.split(",")[column];
    if (label !== undefined && label !== "") counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return counts;
}
