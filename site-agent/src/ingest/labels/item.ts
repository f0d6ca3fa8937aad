/** What the readers of this folder find, one thing at a time. Images are named by their keys alone. */
import type { Box } from "../../dataset/boxes.ts";
import type { GreyImage } from "../resize.ts";

export type LabelItem =
  /** A row of a table of classes: one class, or all findings of the image; none: looked at, and nothing found. */
  | {
      readonly kind: "classes";
      readonly image: string;
      readonly classes: readonly string[];
      /** Findings of which the row does not say whether they are there. */
      readonly unknown: readonly string[];
      /** The findings that the table has a column for; null if a row lists all that the image shows. */
      readonly among: readonly string[] | null;
    }
  | { readonly kind: "box"; readonly image: string; readonly box: Box }
  /** Coverage 0 .. 255 in the original's geometry. */
  | {
      readonly kind: "mask";
      readonly image: string;
      /** From 0, where it was drawn on one frame of the image. */
      readonly frame?: number;
      readonly label: string;
      readonly mask: GreyImage;
    }
  /** Somebody looked at the image; without a box or mask beside it: and found nothing. Comes before the image's masks. */
  | {
      readonly kind: "looked-at";
      readonly image: string;
      readonly frame?: number;
      readonly at: "boxes" | "masks";
      /** The classes that were looked for; null where the file does not say: all that the source speaks of in this way. */
      readonly among: readonly string[] | null;
    }
  /** The text of a label is not a name of a class; it is counted and nothing more. */
  | { readonly kind: "refused" }
  /** A file, a frame or a shape that is damaged or of a kind that is not read. */
  | { readonly kind: "unreadable" };

export const LABEL_FORMS = [
  "class-table",
  "box-table",
  "rsna-table",
  "mask-images",
  "dicom-seg",
  "dicom-sr",
  "dicom-rtstruct",
  "nifti-masks",
] as const;
export type LabelForm = (typeof LABEL_FORMS)[number];

/** In words, for people. */
export const FORM_NAMES: Readonly<Record<LabelForm, string>> = {
  "class-table": "a table of classes",
  "box-table": "a table of boxes",
  "rsna-table": "a table of boxes in RSNA's form",
  "mask-images": "mask images",
  "dicom-seg": "DICOM segmentations",
  "dicom-sr": "DICOM structured reports",
  "dicom-rtstruct": "RT structure sets",
  "nifti-masks": "NIfTI masks",
};
