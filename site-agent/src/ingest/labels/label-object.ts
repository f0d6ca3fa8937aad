/** DICOM objects that hold labels: which kind a file is, and the little that all kinds need to read. */
import { readFileSync } from "node:fs";
import { ConsiliumError } from "@consilium/shared/errors";
import { labelTextSchema } from "@consilium/shared/label-text";
import { DataSet } from "../header/data-set.ts";
import { locateDataSet } from "../header/part10.ts";
import { isSegmentation, SEGMENTATIONS } from "../header/terms.ts";
import type { TransferSyntax } from "../header/syntax.ts";

const SOP_CLASS = 0x0008_0016;
const CODE_MEANING = 0x0008_0104;
const REFERENCED_INSTANCE = 0x0008_1155;

export interface LabelObject {
  readonly kind: "dicom-seg" | "dicom-sr" | "dicom-rtstruct" | "other";
  readonly file: Uint8Array;
  readonly dataSet: DataSet;
  readonly syntax: TransferSyntax;
}

/** RT Structure Set Storage (PS3.4 B.5). */
const STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3";
/** All structured reports: basic text, enhanced, comprehensive, 3-D, and so on. */
const REPORTS = "1.2.840.10008.5.1.4.1.1.88.";

/** False if the head of a DICOM file, with its meta header, names another class: such files are not read whole. */
export function mayHoldLabels(head: Uint8Array): boolean {
  const text = Buffer.from(head).toString("latin1");
  return (
    !text.includes("DICM") || [...SEGMENTATIONS, STRUCTURE_SET, REPORTS].some((uid) => text.includes(uid))
  );
}

/** @throws dicom.*, without a value of the file */
export function readLabelObject(path: string): LabelObject {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch (cause) {
    throw new ConsiliumError("dicom.unreadable", { cause });
  }
  const { syntax, bytes } = locateDataSet(file);
  const dataSet = guarded(() => DataSet.parse(bytes, syntax));
  return { kind: kindOf(dataSet.text(SOP_CLASS) ?? ""), file, dataSet, syntax };
}

/** Lengths that lead beyond the file's end become an error of ours. @throws dicom.truncated */
export function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ConsiliumError) throw error;
    throw new ConsiliumError("dicom.truncated", { detail: "(label object)" });
  }
}

function kindOf(sopClass: string): LabelObject["kind"] {
  if (isSegmentation(sopClass)) return "dicom-seg";
  if (sopClass === STRUCTURE_SET) return "dicom-rtstruct";
  return sopClass.startsWith(REPORTS) ? "dicom-sr" : "other";
}

/** SOP Instance UIDs that the items of a sequence refer to. */
export const referencedInstances = (items: readonly DataSet[]): readonly string[] =>
  items.flatMap((item) => item.text(REFERENCED_INSTANCE) ?? []);

/** Elements that hold names and numbers of people: patient, physicians, operators, content creator, observer. */
const PERSONAL = [
  0x0008_0050, 0x0008_0090, 0x0008_1050, 0x0008_1060, 0x0008_1070, 0x0010_0010, 0x0010_0020, 0x0010_1000,
  0x0010_1001, 0x0020_0010, 0x0070_0084, 0x300e_0008,
];

/**
 * The name of a class out of what an object offers, best first; null if nothing will do. Free text has to look like a name
 * of a class as it stands; a code's meaning comes from a dictionary and only loses its punctuation. Whatever shares a word
 * with the names and numbers in the header is refused.
 */
export function className(
  dataSet: DataSet,
  { text, codes }: { readonly text?: string | undefined; readonly codes: readonly (DataSet | undefined)[] },
): string | null {
  const personal = new Set(PERSONAL.flatMap((tag) => wordsOf(dataSet.text(tag) ?? "")));
  const meanings = codes.map((code) => code?.text(CODE_MEANING)?.replaceAll(/[^A-Za-z0-9._+-]+/g, " "));
  for (const candidate of [text, ...meanings]) {
    const name = candidate?.trim();
    if (name === undefined || !labelTextSchema.safeParse(name).success) continue;
    if (!wordsOf(name).some((word) => personal.has(word))) return name;
  }
  return null;
}

const wordsOf = (text: string): readonly string[] =>
  text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word.length > 2);
