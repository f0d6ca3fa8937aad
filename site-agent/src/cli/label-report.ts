/** What people are told of labels, by `ingest` and by `label`. */
import { FORM_NAMES } from "../ingest/labels/item.ts";
import type { LabelProgress, LabelSummary } from "../ingest/labels/join.ts";
import type { Output } from "./output.ts";

export const LABEL_HELP = `a CSV with sop_instance_uid and label (several: a|b, or columns of 0, 1 and blanks for not known), with
sop_instance_uid, label, x, y, width and height, or in RSNA's form; a folder of PNG masks; DICOM SEG, SR and RTSTRUCT; NIfTI
masks. What a path holds is told by its content.`;

/** Lines for a summary; none where there are no labels. */
export function describeLabels({ sources }: LabelSummary): readonly string[] {
  return sources.map(({ form, files, matched, unmatched, duplicates, conflicts, refused, unreadable }) => {
    const parts = [
      `${matched} images matched`,
      `${unmatched} not here`,
      ...some(duplicates, "repeated"),
      ...some(conflicts, "contradicted, left out"),
      ...some(refused, "refused: the text is not a name of a class"),
      ...some(unreadable, "not readable"),
    ];
    const taken = files === 1 ? FORM_NAMES[form] : `${FORM_NAMES[form]}, ${files} files`;
    return `  labels       ${taken}: ${parts.join(", ")}`;
  });
}

const some = (count: number, what: string): readonly string[] => (count === 0 ? [] : [`${count} ${what}`]);

export const labelProgress =
  (output: Output) =>
  ({ form, files }: LabelProgress): void => {
    output.progress({
      kind: `labels ${form}`,
      text: `labels · ${FORM_NAMES[form]} · ${files} files`,
      data: { phase: "labelling", form, done: files },
    });
  };
