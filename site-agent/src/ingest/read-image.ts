/** One file to one cache record: header, decision, pixels, grey, square. What it returns holds nothing identifying. */
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { rangesFor, type InputProfile } from "@consilium/shared/input-profile";
import type { CachedRecord } from "../dataset/cache-format.ts";
import { anonymousPatientKey, fileKey, imageKey, patientKey } from "../dataset/keys.ts";
import { cropTo } from "./crop.ts";
import { framesOf } from "./decode/decode.ts";
import { expandPalette } from "./decode/palette.ts";
import { readDicomFile } from "./header/file.ts";
import { isNifti, type FoundFile } from "./folder.ts";
import { toGrey } from "./grey.ts";
import type { DicomHeader, Identifiers } from "./header/header.ts";
import { fitChannels } from "./resize.ts";

/** What became of a file. `key` is the image's, or the file's where the header names no image. */
export type ReadResult =
  | {
      readonly outcome: "read";
      readonly key: string;
      readonly record: CachedRecord;
      readonly pixels: Uint8Array;
    }
  /** Cached by an earlier ingest; not decoded again. */
  | { readonly outcome: "cached"; readonly key: string }
  | { readonly outcome: "quarantined"; readonly key: string; readonly code: ErrorCode };

export interface ReadOptions {
  readonly secret: Uint8Array;
  readonly sizePx: number;
  readonly profile: InputProfile;
  /** Whether the cache holds an image already. */
  readonly isCached: (key: string) => boolean;
}

/** Never throws for what a file may hold: that becomes `quarantined`. */
export async function readImage(file: FoundFile, options: ReadOptions): Promise<ReadResult> {
  const { secret, sizePx, profile, isCached } = options;
  let key = fileKey(secret, file.relativePath);
  if (isNifti(file)) return { outcome: "quarantined", key, code: "volume.unwanted" };
  const onIdentifiers = ({ sopInstanceUid }: Identifiers): void => {
    if (sopInstanceUid !== "") key = imageKey(secret, sopInstanceUid);
  };
  try {
    const header = readDicomFile(
      file.path,
      onIdentifiers,
      (early) =>
        (refusal(early) ?? unlessSingle(early)) === null &&
        !isCached(imageKey(secret, early.identifiers.sopInstanceUid)),
    );
    const refused = refusal(header) ?? unlessSingle(header);
    if (refused !== null) throw refused;
    if (isCached(key)) return { outcome: "cached", key };
    const { region } = header;
    const whole = await framesOf(header).frame(0);
    const stored = region === null ? whole : cropTo(whole, region);
    const isPalette = stored.photometric === "PALETTE COLOR";
    const channels = toGrey(
      isPalette ? expandPalette(stored, header.palette) : stored,
      header.grey,
      rangesFor(profile, header.modality),
    );
    const record: CachedRecord = {
      image: key,
      patient: patientOf(header, key, secret),
      modality: header.modality,
      view: header.view,
      bodyPart: header.bodyPart,
      rows: stored.rows,
      columns: stored.columns,
      ...(region === null ? {} : { left: region.left, top: region.top }),
      ...(header.vendor === null ? {} : { vendor: header.vendor }),
      ...spacingOf(header),
    };
    return { outcome: "read", key, record, pixels: fitChannels(channels, sizePx) };
  } catch (error) {
    // Anything unforeseen in one file is that file's failure: the others go on.
    const code = error instanceof ConsiliumError ? error.code : "dicom.decode-failed";
    return { outcome: "quarantined", key, code };
  }
}

/** Why an image is set aside by its header alone, under any plan, or null. */
export function refusal(header: DicomHeader): ConsiliumError | null {
  if (header.identifiers.sopInstanceUid === "")
    return new ConsiliumError("dicom.unsupported", { detail: "(no SOP Instance UID)" });
  if (header.isSegmentation) return new ConsiliumError("dicom.no-pixels");
  if (header.mayCarryText) return new ConsiliumError("dicom.burned-in");
  return null;
}

/** A spacing that no machine has is none. */
export function spacingOf({ spacingMm }: DicomHeader): Pick<CachedRecord, "spacingUm"> {
  const spacingUm = Math.round((spacingMm ?? 0) * 1000);
  return spacingUm >= 1 && spacingUm <= 1_000_000 ? { spacingUm } : {};
}

const unlessSingle = ({ frames }: DicomHeader): ConsiliumError | null =>
  frames === 1 ? null : new ConsiliumError("dicom.multi-frame");

/** Images without a patient id are kept together by study, and alone where even that is missing. */
export function patientOf({ identifiers }: DicomHeader, image: string, secret: Uint8Array): string {
  const { issuer, patientId, studyInstanceUid } = identifiers;
  if (patientId !== "") return patientKey(secret, issuer, patientId);
  return anonymousPatientKey(secret, studyInstanceUid === "" ? image : studyInstanceUid);
}
