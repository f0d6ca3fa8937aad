/**
 * What is read of a DICOM header: how the pixels are written, how they become grey, and a few technical terms from
 * closed lists. Nothing else is looked at. The identifiers are there to be hashed and go no further.
 */
import dicomParser from "dicom-parser";
import { ConsiliumError } from "@consilium/shared/errors";
import { locateDataSet } from "./part10.ts";
import type { TransferSyntax } from "./syntax.ts";
import { bodyPartTerm, isSecondaryCapture, modalityTerm, viewTerm } from "./terms.ts";

type DataSet = ReturnType<typeof dicomParser.parseDicom>;

export type Photometric =
  "MONOCHROME1" | "MONOCHROME2" | "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_RCT" | "YBR_ICT";

/** Image Pixel Module (PS3.3 C.7.6.3). */
export interface PixelFormat {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly bitsAllocated: 1 | 8 | 16 | 32;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  /** Colour planes one after the other instead of pixel by pixel. */
  readonly planar: boolean;
  readonly photometric: Photometric;
}

/** A table from stored values to others (PS3.3 C.11.1); values outside take the first or last entry. */
export interface LookupTable {
  readonly first: number;
  readonly values: Uint16Array;
}

/** What turns stored values into grey. */
export interface GreyHints {
  readonly modality: string;
  /** Stored values from low to high mean "outside the image". */
  readonly padding: { readonly low: number; readonly high: number } | null;
  readonly rescale: { readonly slope: number; readonly intercept: number };
  readonly modalityLut: LookupTable | null;
  /** In rescaled units. */
  readonly window: { readonly center: number; readonly width: number } | null;
}

export interface PixelElement {
  /** Of the value, in `bytes`. */
  readonly offset: number;
  /** Null for encapsulated pixel data, whose fragments tell. */
  readonly length: number | null;
  readonly vr: string;
}

/** Leaves the reading thread only as HMACs. */
export interface Identifiers {
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
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
  /** By BurnedInAnnotation, SOP class or ImageType (see terms.ts). */
  readonly mayCarryText: boolean;
  readonly frames: number;
  readonly format: PixelFormat;
  readonly grey: GreyHints;
  readonly pixels: PixelElement;
}

const TAG = {
  imageType: "x00080008",
  sopClass: "x00080016",
  sopInstance: "x00080018",
  modality: "x00080060",
  patientId: "x00100020",
  issuer: "x00100021",
  bodyPart: "x00180015",
  view: "x00185101",
  study: "x0020000d",
  samples: "x00280002",
  photometric: "x00280004",
  planar: "x00280006",
  frames: "x00280008",
  rows: "x00280010",
  columns: "x00280011",
  bitsAllocated: "x00280100",
  bitsStored: "x00280101",
  highBit: "x00280102",
  pixelRepresentation: "x00280103",
  paddingValue: "x00280120",
  paddingLimit: "x00280121",
  burnedIn: "x00280301",
  windowCenter: "x00281050",
  windowWidth: "x00281051",
  intercept: "x00281052",
  slope: "x00281053",
  modalityLut: "x00283000",
  lutDescriptor: "x00283002",
  lutData: "x00283006",
  floatPixels: "x7fe00008",
  doublePixels: "x7fe00009",
  pixels: "x7fe00010",
} as const;

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
    const dataSet = parse(bytes, syntax);
    const identifiers = readIdentifiers(dataSet);
    onIdentifiers(identifiers);
    const pixels = pixelElement(dataSet);
    const format = readFormat(dataSet);
    const modality = modalityTerm(dataSet.string(TAG.modality));
    return {
      syntax,
      bytes,
      identifiers,
      modality,
      view: viewTerm(dataSet.string(TAG.view)),
      bodyPart: bodyPartTerm(dataSet.string(TAG.bodyPart)),
      mayCarryText: mayCarryText(dataSet, modality),
      frames: dataSet.intString(TAG.frames) ?? 1,
      format,
      grey: readGreyHints(dataSet, modality, format.signed),
      pixels,
    };
  } catch (error) {
    if (error instanceof ConsiliumError) throw error;
    // The parser throws strings that may quote the header. They end here.
    throw new ConsiliumError("dicom.truncated", { detail: "(header)" });
  }
}

/** The elements before the pixel data. */
function parse(bytes: Uint8Array, syntax: TransferSyntax): DataSet {
  return dicomParser.parseDicom(bytes, {
    TransferSyntaxUID: syntax.explicit
      ? syntax.bigEndian
        ? "1.2.840.10008.1.2.2"
        : "1.2.840.10008.1.2.1"
      : "1.2.840.10008.1.2",
    untilTag: TAG.pixels,
  });
}

function readIdentifiers(dataSet: DataSet): Identifiers {
  return {
    sopInstanceUid: dataSet.string(TAG.sopInstance) ?? "",
    studyInstanceUid: dataSet.string(TAG.study) ?? "",
    patientId: dataSet.string(TAG.patientId) ?? "",
    issuer: dataSet.string(TAG.issuer) ?? "",
  };
}

function pixelElement(dataSet: DataSet): PixelElement {
  const element = dataSet.elements[TAG.pixels];
  if (element !== undefined) {
    const length = element.hadUndefinedLength === true ? null : element.length;
    return { offset: element.dataOffset, length, vr: element.vr ?? "OW" };
  }
  if (TAG.floatPixels in dataSet.elements || TAG.doublePixels in dataSet.elements)
    throw new ConsiliumError("dicom.unsupported", { detail: "(floating-point pixels)" });
  // An object that describes pixels and has none was cut between two elements.
  const describesPixels = TAG.rows in dataSet.elements || !(TAG.sopClass in dataSet.elements);
  throw new ConsiliumError(describesPixels ? "dicom.truncated" : "dicom.no-pixels");
}

function readFormat(dataSet: DataSet): PixelFormat {
  const number = (tag: string): number => {
    const value = dataSet.uint16(tag);
    if (value === undefined) throw new ConsiliumError("dicom.unsupported", { detail: "(pixel description)" });
    return value;
  };
  const bitsAllocated = number(TAG.bitsAllocated);
  const bitsStored = dataSet.uint16(TAG.bitsStored) ?? bitsAllocated;
  const format = {
    rows: number(TAG.rows),
    columns: number(TAG.columns),
    bitsStored,
    highBit: dataSet.uint16(TAG.highBit) ?? bitsStored - 1,
    signed: (dataSet.uint16(TAG.pixelRepresentation) ?? 0) === 1,
    planar: (dataSet.uint16(TAG.planar) ?? 0) === 1,
  };
  const samples = dataSet.uint16(TAG.samples) ?? 1;
  const photometric = dataSet.string(TAG.photometric) ?? "";
  if (
    format.rows < 1 ||
    format.columns < 1 ||
    (samples !== 1 && samples !== 3) ||
    !isAllocated(bitsAllocated) ||
    bitsStored < 1 ||
    bitsStored > bitsAllocated ||
    format.highBit >= bitsAllocated ||
    format.highBit + 1 < bitsStored ||
    (bitsAllocated === 1 && samples !== 1) ||
    !isPhotometric(photometric) ||
    photometric.startsWith("MONOCHROME") !== (samples === 1)
  )
    throw new ConsiliumError("dicom.unsupported", { detail: "(pixel description)" });
  return { ...format, samples, bitsAllocated, photometric };
}

const isAllocated = (bits: number): bits is PixelFormat["bitsAllocated"] => [1, 8, 16, 32].includes(bits);

const PHOTOMETRICS: readonly string[] = [
  "MONOCHROME1",
  "MONOCHROME2",
  "RGB",
  "YBR_FULL",
  "YBR_FULL_422",
  "YBR_RCT",
  "YBR_ICT",
] satisfies Photometric[];

const isPhotometric = (text: string): text is Photometric => PHOTOMETRICS.includes(text);

function readGreyHints(dataSet: DataSet, modality: string, signed: boolean): GreyHints {
  const stored = (tag: string): number | undefined => (signed ? dataSet.int16(tag) : dataSet.uint16(tag));
  const value = stored(TAG.paddingValue);
  const limit = stored(TAG.paddingLimit) ?? value;
  const slope = finite(dataSet.floatString(TAG.slope));
  const center = finite(dataSet.floatString(TAG.windowCenter));
  const width = finite(dataSet.floatString(TAG.windowWidth));
  return {
    modality,
    padding:
      value === undefined || limit === undefined
        ? null
        : { low: Math.min(value, limit), high: Math.max(value, limit) },
    rescale: {
      slope: slope === undefined || slope === 0 ? 1 : slope,
      intercept: finite(dataSet.floatString(TAG.intercept)) ?? 0,
    },
    modalityLut: readLookupTable(dataSet, signed),
    window: center === undefined || width === undefined || width < 1 ? null : { center, width },
  };
}

/** The first item of the Modality LUT Sequence, or null. */
function readLookupTable(dataSet: DataSet, signed: boolean): LookupTable | null {
  const item = dataSet.elements[TAG.modalityLut]?.items?.[0]?.dataSet;
  const count = item?.uint16(TAG.lutDescriptor, 0);
  const first = signed ? item?.int16(TAG.lutDescriptor, 1) : item?.uint16(TAG.lutDescriptor, 1);
  if (item === undefined || count === undefined || first === undefined) return null;
  const length = count === 0 ? 65_536 : count;
  const bytes = item.elements[TAG.lutData]?.length ?? 0;
  if (bytes !== length * 2)
    throw new ConsiliumError("dicom.unsupported", { detail: "(modality lookup table)" });
  return { first, values: Uint16Array.from({ length }, (_, i) => item.uint16(TAG.lutData, i) ?? 0) };
}

function mayCarryText(dataSet: DataSet, modality: string): boolean {
  return (
    dataSet.string(TAG.burnedIn)?.toUpperCase() === "YES" ||
    dataSet.string(TAG.imageType, 1)?.toUpperCase() === "SECONDARY" ||
    isSecondaryCapture(dataSet.string(TAG.sopClass) ?? "") ||
    // Until regions are read: ultrasound machines write names and dates into nearly every picture.
    modality === "US"
  );
}

const finite = (value: number | undefined): number | undefined =>
  value !== undefined && Number.isFinite(value) ? value : undefined;
