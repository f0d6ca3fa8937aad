/** What lies at a path that --labels names: one table, or files of masks and DICOM objects. Told by content, not by name. */
import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { patientKey, imageKey } from "../../dataset/keys.ts";
import { NIFTI_ENDING, walkFiles, type FoundFile } from "../folder.ts";
import { looksLikeDicom } from "../header/part10.ts";
import { isBoxTable, isRsnaTable, readBoxTable, readRsnaTable } from "./box-table.ts";
import { EXPECTED, readClassTable } from "./class-table.ts";
import { NO_IMAGES, type ImageIndex } from "./geometry.ts";
import type { LabelForm, LabelItem } from "./item.ts";
import { mayHoldLabels, readLabelObject, type LabelObject } from "./label-object.ts";
import { readMaskImage } from "./mask-images.ts";
import { readNiftiMask } from "./nifti-masks.ts";
import { readSegmentation } from "./segmentation.ts";
import { readStructureSet } from "./structure-set.ts";
import { readStructuredReport } from "./structured-report.ts";
import { columnsOf, invalid, UID_COLUMN } from "./table.ts";

/** One file and what it holds. */
export interface LabelFile {
  readonly form: LabelForm;
  readonly items: AsyncIterable<LabelItem> | Iterable<LabelItem>;
}

/** Holds the meta header of a DICOM file, which names its SOP class. */
const HEAD_BYTES = 1024;
const PNG = [0x89, 0x50, 0x4e, 0x47];
const GZIP = [0x1f, 0x8b];

/** What tells images apart and where they lie; asked for only by forms that need it. */
export type Images = () => Promise<ImageIndex>;

/**
 * The label files at a path: the table itself, or every file below a folder that holds labels. Other files, images among
 * them, are passed over.
 * @param ofVolumes tables may name the NIfTI files that volumes were in
 * @throws labels.invalid if the path is neither
 */
export async function* labelFiles(
  path: string,
  secret: Uint8Array,
  images: Images,
  ofVolumes = false,
): AsyncGenerator<LabelFile, void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch {
    throw invalid("(the file does not exist or cannot be read)");
  }
  if (!isFolder) {
    const file = { path, relativePath: basename(path) };
    yield (await fileOfLabels(file, secret, images)) ?? (await tableOf(path, secret, images, ofVolumes));
    return;
  }
  let found = false;
  for await (const file of walkFiles(path)) {
    const labels = await fileOfLabels(file, secret, images);
    if (labels === null) continue;
    found = true;
    yield labels;
  }
  if (!found) throw invalid("(the folder holds neither mask images nor DICOM labels nor NIfTI masks)");
}

async function tableOf(
  path: string,
  secret: Uint8Array,
  images: Images,
  ofVolumes: boolean,
): Promise<LabelFile> {
  const columns = await columnsOf(path);
  if (isRsnaTable(columns)) {
    const { patients } = await images();
    // Where a person has several images the table cannot say which one it means.
    const imageOf = (id: string): string => {
      const members = patients.get(patientKey(secret, "", id)) ?? [];
      return (members.length === 1 ? members[0] : undefined) ?? imageKey(secret, id);
    };
    return { form: "rsna-table", items: readRsnaTable(path, imageOf) };
  }
  if (isBoxTable(columns)) return { form: "box-table", items: readBoxTable(path, secret) };
  if (!columns.includes(UID_COLUMN)) throw invalid(EXPECTED);
  const { files } = ofVolumes ? await images() : NO_IMAGES;
  const imageOf = (name: string): string =>
    files.get(name.replace(NIFTI_ENDING, ""))?.key ?? imageKey(secret, name);
  return { form: "class-table", items: readClassTable(path, imageOf) };
}

/** Null for files of other kinds. */
async function fileOfLabels(file: FoundFile, secret: Uint8Array, images: Images): Promise<LabelFile | null> {
  const head = await headOf(file.path);
  if (PNG.every((byte, i) => head[i] === byte))
    return { form: "mask-images", items: readMaskImage(file, secret) };
  if (isNifti(head, file.path))
    return { form: "nifti-masks", items: readNiftiMask(file, secret, await images()) };
  if (!looksLikeDicom(head) || !mayHoldLabels(head)) return null;
  let object: LabelObject;
  try {
    object = readLabelObject(file.path);
  } catch (error) {
    // A damaged image is not a label; ingest counts it.
    if (error instanceof ConsiliumError) return null;
    throw error;
  }
  switch (object.kind) {
    case "dicom-seg":
      return { form: object.kind, items: readSegmentation(object, secret, images) };
    case "dicom-sr":
      return { form: object.kind, items: readStructuredReport(object, secret) };
    case "dicom-rtstruct":
      return { form: object.kind, items: readStructureSet(object, secret, await images()) };
    case "other":
      return null;
  }
}

/** The magic "n+1" or "n+2"; of what is zipped, the name has to tell. */
function isNifti(head: Uint8Array, path: string): boolean {
  if (GZIP.every((byte, i) => head[i] === byte)) return path.toLowerCase().endsWith(".nii.gz");
  const magic = (at: number): boolean => head[at] === 0x6e && head[at + 1] === 0x2b && head[at + 3] === 0;
  return magic(344) || magic(4);
}

async function headOf(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(new Uint8Array(HEAD_BYTES), 0, HEAD_BYTES, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return new Uint8Array(0);
  }
}
