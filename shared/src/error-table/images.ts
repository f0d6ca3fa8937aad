/** Errors of images and their labels on the way into a site's cache. */
import { entry, type ErrorEntry } from "./entry.ts";

export const IMAGE_ERRORS = {
  "ingest.folder-missing": entry(
    404,
    false,
    "The folder does not exist or cannot be read.",
    "Check the path and its permissions.",
  ),
  "ingest.no-dicom": entry(
    422,
    false,
    "No usable image was found.",
    "Check that the folder holds DICOM; consilium-site ingest lists why files were set aside.",
  ),
  "dicom.not-dicom": entry(422, false, "The file is not DICOM.", "Nothing to do unless it should have been."),
  "dicom.unreadable": entry(
    422,
    false,
    "The file cannot be read from the disk.",
    "Check its permissions, then ingest again.",
  ),
  "dicom.truncated": entry(422, false, "The file ends before its pixel data does.", "Export it again."),
  "dicom.no-pixels": entry(
    422,
    false,
    "The file holds no image.",
    "Nothing to do: reports and presentation states are expected here.",
  ),
  "dicom.unsupported": entry(
    422,
    false,
    "The image is written in a way that this version does not read.",
    "Convert it, or report the transfer syntax.",
  ),
  "dicom.multi-frame": entry(
    422,
    false,
    "The file holds several frames; this version reads single images.",
    "Export the frames one by one, or wait for a version that reads them.",
  ),
  "dicom.decode-failed": entry(422, false, "The pixel data cannot be decoded.", "Export it again."),
  "dicom.wrong-size": entry(
    422,
    false,
    "The decoded image has another size than its header says.",
    "Export it again.",
  ),
  "dicom.burned-in": entry(
    422,
    false,
    "The image may carry text burned into its pixels.",
    "Review it; such files are set aside by default.",
  ),
  "dicom.flat": entry(
    422,
    false,
    "The image has no contrast at all.",
    "Nothing to do: it carries no information.",
  ),
  "dicom.duplicate": entry(422, false, "The same image was read before.", "Nothing to do."),
  "cache.corrupt": entry(500, false, "The image cache is damaged.", "Run consilium-site ingest again."),
  "cache.wrong-size": entry(
    409,
    false,
    "The cached images have another size than the plan asks for.",
    "Run consilium-site ingest again.",
  ),
  "labels.invalid": entry(
    422,
    false,
    "The labels cannot be read.",
    "Check the path and its form: consilium-site label --help lists the forms.",
  ),
  "labels.unmatched": entry(
    422,
    false,
    "No label belongs to an image of the cache.",
    "Check that labels and images come from the same export.",
  ),
  "labels.too-few": entry(
    422,
    false,
    "There are too few labels to train and test on.",
    "Label at least two patients of each class.",
  ),
} as const satisfies Record<string, ErrorEntry>;
