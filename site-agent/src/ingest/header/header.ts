/**
 * What is read of a DICOM header: how the pixels are written, how they become grey, where they lie, and a few technical
 * terms from closed lists. Nothing else is looked at. The identifiers are there to be hashed and go no further.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Vendor } from "@consilium/shared/fingerprint/layout";
import { DataSet, PIXEL_DATA } from "./data-set.ts";
import { readFrameAttributes, type FrameAttributes } from "./frame-attributes.ts";
import { readGreyHints, type GreyHints } from "./grey-hints.ts";
import { readPalette, type Palette } from "./lookup-table.ts";
import { locateDataSet } from "./part10.ts";
import { readPixelFormat, type PixelFormat } from "./pixel-format.ts";
import type { TransferSyntax } from "./syntax.ts";
import {
  bodyPartTerm,
  isSecondaryCapture,
  isSegmentation,
  modalityTerm,
  vendorClass,
  viewTerm,
} from "./terms.ts";
import { isUltrasound, readUltrasoundRegion, type Region } from "./ultrasound.ts";

export interface PixelElement {
  /** Of the value, in `bytes`. */
  readonly offset: number;
  /** Null for encapsulated pixel data, whose fragments tell. */
  readonly length: number | null;
  readonly vr: string;
  /** Extended Offset Table (PS3.3 C.7.6.3.1.8): 64-bit offsets of the frames' items, or null. */
  readonly extendedOffsets: Uint8Array | null;
}

/** Leaves the reading thread only as HMACs. */
export interface Identifiers {
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly patientId: string;
  readonly issuer: string;
}

export interface DicomHeader {
  readonly syntax: TransferSyntax;
  /** The data set that `pixels` points into. */
  readonly bytes: Uint8Array;
  readonly identifiers: Identifiers;
  readonly modality: string;
  readonly view: string | null;
  readonly bodyPart: string | null;
  readonly vendor: Vendor | null;
  /** From pixel to pixel, in the patient or else at the detector (PS3.3 10.7.1.3); mean of both directions. */
  readonly spacingMm: number | null;
  /** By BurnedInAnnotation, SOP class or ImageType (see terms.ts), or as ultrasound without a region. */
  readonly mayCarryText: boolean;
  /** Its pixels are labels. */
  readonly isSegmentation: boolean;
  /** The only part of the image that may be used; null where all of it may. */
  readonly region: Region | null;
  readonly frames: number;
  /** Where its series counts it; 0 where the header does not say. */
  readonly instanceNumber: number;
  /** One for each frame. */
  readonly frameAttributes: readonly FrameAttributes[];
  readonly format: PixelFormat;
  /** Of PALETTE COLOR images. */
  readonly palette: Palette | null;
  readonly grey: GreyHints;
  readonly pixels: PixelElement;
}

const TAG = {
  imageType: 0x0008_0008,
  sopClass: 0x0008_0016,
  sopInstance: 0x0008_0018,
  modality: 0x0008_0060,
  manufacturer: 0x0008_0070,
  patientId: 0x0010_0020,
  issuer: 0x0010_0021,
  bodyPart: 0x0018_0015,
  imagerSpacing: 0x0018_1164,
  view: 0x0018_5101,
  study: 0x0020_000d,
  series: 0x0020_000e,
  instanceNumber: 0x0020_0013,
  frames: 0x0028_0008,
  rows: 0x0028_0010,
  burnedIn: 0x0028_0301,
  extendedOffsets: 0x7fe0_0001,
  floatPixels: 0x7fe0_0008,
  doublePixels: 0x7fe0_0009,
} as const;

/** More than any study; keeps a forged count from filling the memory. */
const MAX_FRAMES = 2 ** 17;

/**
 * Reads the header of a whole file, or of as much of its beginning as holds it.
 * @param onIdentifiers told as soon as they are known, so that a file that is refused later still has a name
 * @throws dicom.not-dicom, dicom.truncated, dicom.no-pixels, dicom.unsupported
 */
export function readHeader(
  file: Uint8Array,
  onIdentifiers: (identifiers: Identifiers) => void = () => undefined,
): DicomHeader {
  const { syntax, bytes } = locateDataSet(file);
  try {
    const dataSet = DataSet.parse(bytes, syntax);
    const identifiers = readIdentifiers(dataSet);
    onIdentifiers(identifiers);
    const pixels = pixelElement(dataSet);
    const format = readPixelFormat(dataSet);
    const frames = readFrames(dataSet);
    const modality = modalityTerm(dataSet.text(TAG.modality));
    const sonogram = isUltrasound(modality, dataSet.text(TAG.sopClass) ?? "");
    const frameAttributes = readFrameAttributes(dataSet, frames);
    const spacing = frameAttributes[0]?.pixelSpacing ?? dataSet.decimals(TAG.imagerSpacing, 2);
    const region = sonogram ? readUltrasoundRegion(dataSet, format.rows, format.columns) : null;
    return {
      syntax,
      bytes,
      identifiers,
      modality,
      view: viewTerm(dataSet.text(TAG.view)),
      bodyPart: bodyPartTerm(dataSet.text(TAG.bodyPart)),
      vendor: vendorClass(dataSet.text(TAG.manufacturer)),
      spacingMm: spacing === null ? null : ((spacing[0] ?? 0) + (spacing[1] ?? 0)) / 2,
      mayCarryText: saysItCarriesText(dataSet) || (sonogram && region === null),
      isSegmentation: isSegmentation(dataSet.text(TAG.sopClass) ?? ""),
      region,
      frames,
      instanceNumber: dataSet.integer(TAG.instanceNumber) ?? 0,
      frameAttributes,
      format,
      palette: format.photometric === "PALETTE COLOR" ? readPalette(dataSet, format.signed) : null,
      grey: readGreyHints(dataSet, modality, format.signed),
      pixels,
    };
  } catch (error) {
    if (error instanceof ConsiliumError) throw error;
    // Lengths that lead beyond the file end here.
    throw new ConsiliumError("dicom.truncated", { detail: "(header)" });
  }
}

function readIdentifiers(dataSet: DataSet): Identifiers {
  return {
    sopInstanceUid: dataSet.text(TAG.sopInstance) ?? "",
    studyInstanceUid: dataSet.text(TAG.study) ?? "",
    seriesInstanceUid: dataSet.text(TAG.series) ?? "",
    patientId: dataSet.text(TAG.patientId) ?? "",
    issuer: dataSet.text(TAG.issuer) ?? "",
  };
}

function pixelElement(dataSet: DataSet): PixelElement {
  const element = dataSet.element(PIXEL_DATA);
  if (element !== undefined) {
    const length = element.isUndefined ? null : element.length;
    const extendedOffsets = dataSet.value(TAG.extendedOffsets) ?? null;
    // Implicit encodings have OW (PS3.5 A.1).
    return { offset: element.offset, length, vr: element.vr === "" ? "OW" : element.vr, extendedOffsets };
  }
  if (dataSet.has(TAG.floatPixels) || dataSet.has(TAG.doublePixels))
    throw new ConsiliumError("dicom.unsupported", { detail: "(floating-point pixels)" });
  // An object that describes pixels and has none was cut between two elements.
  const describesPixels = dataSet.has(TAG.rows) || !dataSet.has(TAG.sopClass);
  throw new ConsiliumError(describesPixels ? "dicom.truncated" : "dicom.no-pixels");
}

/** An empty or missing number, and 0, mean one frame. */
function readFrames(dataSet: DataSet): number {
  const frames = dataSet.integer(TAG.frames) ?? 1;
  if (frames === 0) return 1;
  if (frames < 0 || frames > MAX_FRAMES)
    throw new ConsiliumError("dicom.unsupported", { detail: "(number of frames)" });
  return frames;
}

function saysItCarriesText(dataSet: DataSet): boolean {
  return (
    dataSet.text(TAG.burnedIn)?.toUpperCase() === "YES" ||
    dataSet.textAt(TAG.imageType, 1)?.toUpperCase() === "SECONDARY" ||
    isSecondaryCapture(dataSet.text(TAG.sopClass) ?? "")
  );
}
