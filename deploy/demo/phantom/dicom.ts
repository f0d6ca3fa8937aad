/** Writes one picture as a DICOM Part 10 file. */
import { createRequire } from "node:module";
import type { Scanner, Encoding } from "./vendors.ts";

type DataSet = Readonly<Record<string, unknown>>;

/** The part of dcmjs that is used; the package has no types of its own. */
interface Dcmjs {
  readonly data: {
    readonly DicomMetaDictionary: { denaturalizeDataset: (dataSet: DataSet) => object };
    readonly DicomDict: new (meta: object) => { dict: object; write: (options: object) => ArrayBuffer };
  };
}

// Both are CommonJS.
const require = createRequire(import.meta.url);
const { data } = require("dcmjs") as Dcmjs;
const { Context, NativeCodecs } = require("dcmjs-codecs") as typeof import("dcmjs-codecs");

/** PS3.6 annex A. */
const TRANSFER_SYNTAX: Readonly<Record<Encoding, string>> = {
  uncompressed: "1.2.840.10008.1.2.1",
  "jpeg-baseline": "1.2.840.10008.1.2.4.50",
  "jpeg-ls": "1.2.840.10008.1.2.4.80",
  "jpeg-2000": "1.2.840.10008.1.2.4.90",
};
const COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1";
const BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11";
const IMPLEMENTATION_CLASS = "2.25.325800447126437092103341085217431526";
const JPEG_QUALITY = 92;

export interface Header {
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly patientId: string;
  readonly patientName: string;
  readonly accessionNumber: string;
  readonly institution: string;
  readonly instanceNumber: number;
  /** Each YYYYMMDD. */
  readonly studyDate: string;
  readonly birthDate: string;
  readonly sex: "F" | "M";
  readonly view: "AP" | "PA";
}

/** Once, before the first file is written. */
export async function loadCodecs(): Promise<void> {
  if (!NativeCodecs.isInitialized()) await NativeCodecs.initializeAsync();
}

/** @param film 0 to 1, bone bright, row-major */
export function writeImage(header: Header, scanner: Scanner, film: Float32Array): Uint8Array {
  const stored = quantize(film, scanner);
  const { rows, columns, bitsStored, encoding, intercept } = scanner;
  const bitsAllocated = bitsStored === 8 ? 8 : 16;
  const white = 2 ** bitsStored - 1;
  return part10(COMPUTED_RADIOGRAPHY, TRANSFER_SYNTAX[encoding], header, {
    ...identity(header),
    Modality: "CR",
    Manufacturer: scanner.manufacturer,
    BodyPartExamined: "CHEST",
    ViewPosition: header.view,
    ImageType: ["ORIGINAL", "PRIMARY"],
    SamplesPerPixel: 1,
    PhotometricInterpretation: scanner.photometric,
    Rows: rows,
    Columns: columns,
    BitsAllocated: bitsAllocated,
    BitsStored: bitsStored,
    HighBit: bitsStored - 1,
    PixelRepresentation: 0,
    BurnedInAnnotation: "NO",
    ...(encoding === "jpeg-baseline" ? { LossyImageCompression: "01" } : {}),
    ...(intercept === undefined
      ? {}
      : {
          RescaleIntercept: intercept,
          RescaleSlope: 1,
          RescaleType: "US",
          WindowCenter: intercept + (white + 1) / 2,
          WindowWidth: white + 1,
        }),
    PixelData: [encode(stored, scanner)],
    _vrMap: { PixelData: encoding === "uncompressed" && bitsAllocated === 16 ? "OW" : "OB" },
  });
}

/** A report, as found among the images of any real export: valid DICOM without pixels. */
export function writeReport(header: Header): Uint8Array {
  return part10(BASIC_TEXT_SR, TRANSFER_SYNTAX.uncompressed, header, {
    ...identity(header),
    Modality: "SR",
    CompletionFlag: "COMPLETE",
    VerificationFlag: "UNVERIFIED",
  });
}

function identity(header: Header): DataSet {
  return {
    StudyDate: header.studyDate,
    AccessionNumber: header.accessionNumber,
    InstitutionName: header.institution,
    ReferringPhysicianName: "Canary^Referrer",
    PatientName: header.patientName,
    PatientID: header.patientId,
    PatientBirthDate: header.birthDate,
    PatientSex: header.sex,
    StudyInstanceUID: header.studyInstanceUid,
    SeriesInstanceUID: header.seriesInstanceUid,
    SeriesNumber: 1,
    InstanceNumber: header.instanceNumber,
  };
}

function part10(sopClass: string, transferSyntax: string, header: Header, dataSet: DataSet): Uint8Array {
  const { DicomDict, DicomMetaDictionary } = data;
  const file = new DicomDict(
    DicomMetaDictionary.denaturalizeDataset({
      FileMetaInformationVersion: new Uint8Array([0, 1]).buffer,
      MediaStorageSOPClassUID: sopClass,
      MediaStorageSOPInstanceUID: header.sopInstanceUid,
      TransferSyntaxUID: transferSyntax,
      ImplementationClassUID: IMPLEMENTATION_CLASS,
      ImplementationVersionName: "CONSILIUM_DEMO",
    }),
  );
  file.dict = DicomMetaDictionary.denaturalizeDataset({
    SOPClassUID: sopClass,
    SOPInstanceUID: header.sopInstanceUid,
    ...dataSet,
  });
  return new Uint8Array(file.write({ fragmentMultiframe: false }));
}

/** The detector's numbers: inverted for MONOCHROME1, and within the bits that are stored. */
function quantize(film: Float32Array, { bitsStored, photometric }: Scanner): Uint8Array | Uint16Array {
  const white = 2 ** bitsStored - 1;
  const level = (value: number): number => {
    const bright = Math.min(1, Math.max(0, value));
    return Math.round(white * (photometric === "MONOCHROME1" ? 1 - bright : bright));
  };
  return bitsStored === 8 ? Uint8Array.from(film, level) : Uint16Array.from(film, level);
}

function encode(stored: Uint8Array | Uint16Array, scanner: Scanner): ArrayBuffer {
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  if (scanner.encoding === "uncompressed") return toArrayBuffer(bytes);
  const context = new Context({
    width: scanner.columns,
    height: scanner.rows,
    bitsAllocated: scanner.bitsStored === 8 ? 8 : 16,
    bitsStored: scanner.bitsStored,
    samplesPerPixel: 1,
    pixelRepresentation: 0,
    planarConfiguration: 0,
    photometricInterpretation: scanner.photometric,
    decodedBuffer: bytes,
  });
  const encoded = compress(context, scanner.encoding).getEncodedBuffer();
  if (encoded === undefined) throw new Error(`the ${scanner.encoding} encoder returned nothing`);
  return toArrayBuffer(encoded);
}

function compress(
  context: InstanceType<typeof Context>,
  encoding: Exclude<Encoding, "uncompressed">,
): InstanceType<typeof Context> {
  switch (encoding) {
    case "jpeg-baseline":
      return NativeCodecs.encodeJpeg(context, { lossy: true, quality: JPEG_QUALITY });
    case "jpeg-ls":
      return NativeCodecs.encodeJpegLs(context, { lossy: false });
    case "jpeg-2000":
      return NativeCodecs.encodeJpeg2000(context, { lossy: false });
  }
}

/** dcmjs takes ArrayBuffers only. */
function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}
