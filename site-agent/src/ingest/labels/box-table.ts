/** Boxes from a table: one row per box, in pixels of the original image from its top left corner. */
import { imageKey } from "../../dataset/keys.ts";
import type { LabelItem } from "./item.ts";
import { ClassNames, invalid, rectangleOf, rowsOf, uidOf, UID_COLUMN } from "./table.ts";

const GEOMETRY = ["x", "y", "width", "height"] as const;

/** `sop_instance_uid,label,x,y,width,height`. */
export const isBoxTable = (columns: readonly string[]): boolean =>
  [UID_COLUMN, "label", ...GEOMETRY].every((column) => columns.includes(column));

/** `patientId,x,y,width,height,Target`, as in the RSNA Pneumonia Detection Challenge. */
export const isRsnaTable = (columns: readonly string[]): boolean =>
  ["patientid", "target", ...GEOMETRY].every((column) => columns.includes(column));

/** A row with no label and no box is an image without a finding. @throws labels.invalid */
export async function* readBoxTable(path: string, secret: Uint8Array): AsyncGenerator<LabelItem, void> {
  const names = new ClassNames();
  for await (const row of rowsOf(path, "(no row)")) {
    const image = imageKey(secret, uidOf(row));
    if (["label", ...GEOMETRY].every((column) => row.text(column) === "")) {
      yield { kind: "looked-at", image, at: "boxes", among: null };
      continue;
    }
    const label = names.check(row.text("label"), row.line);
    yield { kind: "box", image, box: { label, ...rectangleOf(row) } };
  }
}

/** What RSNA's challenge calls its one class. */
export const RSNA_LABEL = "opacity";

/**
 * RSNA's `patientId` is the name of the image's file, which has one image per patient. It is joined as the SOP Instance UID
 * and, where the images are at hand, as their PatientID.
 * @param imageOf the one image that a value of the column names
 * @throws labels.invalid
 */
export async function* readRsnaTable(
  path: string,
  imageOf: (patientId: string) => string,
): AsyncGenerator<LabelItem, void> {
  for await (const row of rowsOf(path, "(no row)")) {
    const id = row.text("patientid");
    if (id === "") throw invalid(`(row ${row.line} has no patientId)`);
    const image = imageOf(id);
    const target = row.text("target");
    if (target === "0") yield { kind: "looked-at", image, at: "boxes", among: [RSNA_LABEL] };
    else if (target === "1") yield { kind: "box", image, box: { label: RSNA_LABEL, ...rectangleOf(row) } };
    else throw invalid(`(row ${row.line}: Target is neither 0 nor 1)`);
  }
}
