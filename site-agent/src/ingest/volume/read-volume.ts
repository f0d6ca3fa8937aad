/** Files and stacks to cache records, in a reading thread. What they return holds nothing identifying. */
import { createHash } from "node:crypto";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { rangesFor, type InputProfile } from "@consilium/shared/input-profile";
import type { CachedRecord } from "../../dataset/cache-format.ts";
import { contentKey, fileKey, imageKey, subjectKey } from "../../dataset/keys.ts";
import { framesOf, type Frames } from "../decode/decode.ts";
import { isNifti, type FoundFile } from "../folder.ts";
import { rescale } from "../grey.ts";
import { readDicomFile } from "../header/file.ts";
import type { FrameAttributes } from "../header/frame-attributes.ts";
import type { DicomHeader } from "../header/header.ts";
import { modalityTerm } from "../header/terms.ts";
import { patientOf, refusal, type ReadResult } from "../read-image.ts";
import { greyVolume, type GreyVolumeHints } from "./grey-volume.ts";
import { GridFiller, type SourceVolume } from "./grid.ts";
import { compositionOf, type Stack } from "./group.ts";
import { openNifti, readNiftiFile } from "./nifti.ts";
import { straighten } from "./straighten.ts";
import type { Slice, SliceGeometry } from "./slice.ts";
import { dot, length, times, type Vector } from "./vector.ts";

/** What a file turned out to be: slices of volumes that are still to be put together, or all that becomes of it. */
export type LookResult = { readonly outcome: "slices"; readonly slices: readonly Slice[] } | ReadResult;

export interface VolumeOptions {
  readonly secret: Uint8Array;
  readonly sizePx: number;
  readonly profile: InputProfile;
  /** What NIfTI files hold, as they do not say: a term of DICOM. */
  readonly niftiModality: string;
  readonly isCached: (key: string) => boolean;
  /** Called after each slice: the task goes on. */
  readonly onAlive: () => void;
}

/** Never throws for what a file may hold: that becomes `quarantined`. */
export function lookAtFile(file: FoundFile, options: VolumeOptions): LookResult {
  if (!isNifti(file)) return lookAtDicom(file, options.secret);
  try {
    return readNifti(file, options);
  } catch (error) {
    return quarantined(fileKey(options.secret, file.relativePath), error);
  }
}

/** Reads the header alone. Never throws for what a file may hold: that becomes `quarantined`. */
export function lookAtDicom(file: FoundFile, secret: Uint8Array): LookResult {
  let key = fileKey(secret, file.relativePath);
  try {
    const header = readDicomFile(
      file.path,
      ({ sopInstanceUid }) => {
        if (sopInstanceUid !== "") key = imageKey(secret, sopInstanceUid);
      },
      () => false,
    );
    const refused = refusal(header);
    if (refused !== null) throw refused;
    return { outcome: "slices", slices: slicesOf(file, key, header, secret) };
  } catch (error) {
    return quarantined(key, error);
  }
}

/**
 * Never throws for what the slices' files may hold.
 * @param again whether to read it though the cache holds a volume with its key
 */
export async function readStack(stack: Stack, again: boolean, options: VolumeOptions): Promise<ReadResult> {
  const { key, slices, spacingMm, shifts } = stack;
  if (!again && options.isCached(key)) return { outcome: "cached", key };
  try {
    const source = sourceOf(stack);
    const filler = gridFiller(source, options);
    const hints: GreyVolumeHints[] = [];
    let open: { readonly file: FoundFile; readonly frames: Frames } | null = null;
    for (const [place, slice] of slices.entries()) {
      if (open?.file.path !== slice.file.path)
        open = { file: slice.file, frames: framesOf(wholeFile(slice.file)) };
      const { header } = open.frames;
      const image = await open.frames.frame(slice.frame);
      if (image.rows !== slice.rows || image.columns !== slice.columns || image.samples !== 1)
        throw new ConsiliumError("dicom.wrong-size");
      const own = header.frameAttributes[slice.frame];
      const plane = rescale(image, { ...header.grey, rescale: own?.rescale ?? header.grey.rescale });
      const shift = shifts?.[place];
      filler.add(place, shift === undefined ? plane : straighten(plane, slice.rows, slice.columns, shift));
      hints.push({
        window: own?.window ?? header.grey.window,
        inverted: image.photometric === "MONOCHROME1",
      });
      options.onAlive();
    }
    const middle = hints[hints.length >> 1] ?? { window: null, inverted: false };
    const [{ patient, modality, bodyPart, rows, columns, geometry }] = slices;
    const pixels = greyVolume(filler.finish(), middle, rangesFor(options.profile, modality));
    const volume: CachedRecord["volume"] = {
      slices: slices.length,
      composition: compositionOf(stack),
      spacingMm: [spacingMm, ...geometry.pixelSpacing],
    };
    const record = { image: key, patient, modality, view: null, bodyPart, rows, columns, volume };
    return { outcome: "read", key, record, pixels };
  } catch (error) {
    return quarantined(key, error);
  }
}

/** A NIfTI file names neither image nor patient: its content is the image's key. */
function readNifti(file: FoundFile, options: VolumeOptions): ReadResult {
  const { secret, profile, niftiModality, isCached, onAlive } = options;
  const bytes = readNiftiFile(file.path);
  const key = contentKey(secret, createHash("sha256").update(bytes).digest("hex"));
  if (isCached(key)) return { outcome: "cached", key };
  try {
    const { source, plane } = openNifti(bytes);
    const filler = gridFiller(source, options);
    const [slices, rows, columns] = source.counts;
    for (let slice = 0; slice < slices; slice++) {
      filler.add(slice, plane(slice));
      onAlive();
    }
    const modality = modalityTerm(niftiModality);
    const hints = { window: null, inverted: false };
    const pixels = greyVolume(filler.finish(), hints, rangesFor(profile, modality));
    const volume = { slices, spacingMm: [...source.spacingMm] as [number, number, number] };
    const patient = subjectKey(secret, subjectOf(file.relativePath) ?? key);
    const record = { image: key, patient, modality, view: null, bodyPart: null, rows, columns, volume };
    return { outcome: "read", key, record, pixels };
  } catch (error) {
    return quarantined(key, error);
  }
}

/** The person, where folders and names follow BIDS ("sub-01/anat/sub-01_T1w.nii.gz"); else each file is a person. */
function subjectOf(relativePath: string): string | null {
  return /(?:^|\/)(sub-[0-9A-Za-z]+)(?=[_/])/.exec(relativePath)?.[1] ?? null;
}

function gridFiller(source: SourceVolume, { sizePx, profile }: VolumeOptions): GridFiller {
  if (profile.volume === null) throw new Error("the plan is for images");
  return new GridFiller(source, sizePx, profile.volume);
}

/** How the slices lie together. */
export function sourceOf({ slices, normal, spacingMm }: Stack): SourceVolume {
  const [{ rows, columns, geometry }] = slices;
  const [rowMm, columnMm] = geometry.pixelSpacing;
  return {
    counts: [slices.length, rows, columns],
    spacingMm: [spacingMm, rowMm, columnMm],
    directions: [normal, geometry.alongRows, geometry.alongColumns],
  };
}

const wholeFile = ({ path }: FoundFile): DicomHeader =>
  readDicomFile(
    path,
    () => undefined,
    () => true,
  );

/** @throws volume.no-position, dicom.unsupported for colour */
function slicesOf(file: FoundFile, key: string, header: DicomHeader, secret: Uint8Array): readonly Slice[] {
  const { format, identifiers, frames } = header;
  if (format.samples !== 1 || format.photometric === "PALETTE COLOR")
    throw new ConsiliumError("dicom.unsupported", { detail: "(colour in a volume)" });
  if (frames === 1 && identifiers.seriesInstanceUid === "")
    throw new ConsiliumError("dicom.unsupported", { detail: "(no Series Instance UID)" });
  return header.frameAttributes.map((attributes, frame) => ({
    file,
    frame,
    key,
    series: frames === 1 ? imageKey(secret, identifiers.seriesInstanceUid) : key,
    patient: patientOf(header, key, secret),
    modality: header.modality,
    bodyPart: header.bodyPart,
    rows: format.rows,
    columns: format.columns,
    geometry: geometryOf(attributes),
    order: frames === 1 ? header.instanceNumber : frame,
  }));
}

/** Directions at right angles and of length 1, but for what writers round. */
const ROUNDED = 0.01;

function geometryOf({ position, orientation, pixelSpacing }: FrameAttributes): SliceGeometry {
  const [x, y, z] = position ?? [];
  const [cx, cy, cz, rx, ry, rz] = orientation ?? [];
  const [rowMm, columnMm] = pixelSpacing ?? [];
  if (x === undefined || y === undefined || z === undefined || rowMm === undefined || columnMm === undefined)
    throw new ConsiliumError("volume.no-position");
  const columns = unit([cx ?? 0, cy ?? 0, cz ?? 0]);
  const rows = unit([rx ?? 0, ry ?? 0, rz ?? 0]);
  if (columns === null || rows === null || Math.abs(dot(columns, rows)) > ROUNDED)
    throw new ConsiliumError("volume.no-position");
  if (!(rowMm > 0 && columnMm > 0)) throw new ConsiliumError("volume.no-position");
  return { position: [x, y, z], alongColumns: columns, alongRows: rows, pixelSpacing: [rowMm, columnMm] };
}

function unit(v: Vector): Vector | null {
  const norm = length(v);
  return Math.abs(norm - 1) > ROUNDED ? null : times(v, 1 / norm);
}

function quarantined(key: string, error: unknown): ReadResult {
  const code: ErrorCode = error instanceof ConsiliumError ? error.code : "dicom.decode-failed";
  return { outcome: "quarantined", key, code };
}
