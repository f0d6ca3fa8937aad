/** What the DICOM objects that predictions become have in common: whose they are, what made them, and the file around them. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";
import { dcmjs, type NaturalDataset } from "./dcmjs.ts";

const EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1";
const PIXEL_DATA = "7FE00010";
/** Of codes that no dictionary has. */
export const PRIVATE_SCHEME = "99CONSILIUM";

/** Patient and study go over to the new object as they are (PS3.3 C.7.1 and C.7.2), so that a PACS files it beside its image. */
const TAKEN_OVER = [
  "PatientName",
  "PatientID",
  "IssuerOfPatientID",
  "PatientBirthDate",
  "PatientSex",
  "StudyInstanceUID",
  "StudyDate",
  "StudyTime",
  "StudyID",
  "StudyDescription",
  "AccessionNumber",
  "ReferringPhysicianName",
] as const;

/** What made a prediction. */
export interface Maker {
  /** Name of the trained network. */
  readonly model: string;
  /** SHA-256 of its weights. */
  readonly sha256: string;
  readonly software: string;
}

export interface Stamp {
  /** "20261125", "143000". */
  readonly date: string;
  readonly time: string;
}

/** An image that predictions are about. */
export interface SourceImage {
  readonly dataset: NaturalDataset;
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** What UIDs of objects about it follow from: no other image or volume has it. */
  readonly identity: string;
  readonly seriesInstanceUid: string;
  readonly rows: number;
  readonly columns: number;
}

/** Reads a file's header, up to its pixels. @throws dicom.no-object */
export async function readSource(path: string): Promise<SourceImage> {
  const { DicomMessage, DicomMetaDictionary } = dcmjs().data;
  let dataset: NaturalDataset;
  try {
    const bytes = await readFile(path);
    const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const { dict } = DicomMessage.readFile(whole, { ignoreErrors: true, untilTag: PIXEL_DATA });
    dataset = DicomMetaDictionary.naturalizeDataset(dict);
  } catch {
    // The library's own words may quote the header.
    throw new ConsiliumError("dicom.no-object");
  }
  const text = (keyword: string): string => {
    const value = dataset[keyword];
    return typeof value === "string" ? value : "";
  };
  const { Rows: rows, Columns: columns } = dataset;
  const [sopClassUid, sopInstanceUid] = [text("SOPClassUID"), text("SOPInstanceUID")];
  if (
    sopClassUid === "" ||
    sopInstanceUid === "" ||
    typeof rows !== "number" ||
    typeof columns !== "number"
  ) {
    throw new ConsiliumError("dicom.no-object");
  }
  return {
    dataset,
    sopClassUid,
    sopInstanceUid,
    identity: sopInstanceUid,
    seriesInstanceUid: text("SeriesInstanceUID"),
    rows,
    columns,
  };
}

export interface NewObject {
  readonly sopClassUid: string;
  readonly modality: "SEG" | "SR";
  readonly description: string;
  readonly attributes: NaturalDataset;
}

/**
 * A DICOM file (PS3.10). Its UIDs follow from the image and the network: predicting again replaces the object in an archive
 * instead of adding another.
 * @throws dicom.no-object if what is taken over cannot be written
 */
export function writeObject(
  source: SourceImage,
  { sopClassUid, modality, description, attributes }: NewObject,
  maker: Maker,
  { date, time }: Stamp,
): Uint8Array {
  const kind = `${maker.sha256} ${modality}`;
  const sopInstanceUid = uidOf(`${kind} ${source.identity}`);
  const taken = Object.fromEntries(
    TAKEN_OVER.flatMap((keyword) => {
      const value = source.dataset[keyword];
      return value === undefined ? [] : [[keyword, value] as const];
    }),
  );
  const dataset = {
    _meta: {
      MediaStorageSOPClassUID: { Value: [sopClassUid], vr: "UI" },
      MediaStorageSOPInstanceUID: { Value: [sopInstanceUid], vr: "UI" },
      TransferSyntaxUID: { Value: [EXPLICIT_LITTLE_ENDIAN], vr: "UI" },
      ImplementationClassUID: { Value: [uidOf("consilium")], vr: "UI" },
      ImplementationVersionName: { Value: ["CONSILIUM"], vr: "SH" },
    },
    _vrMap: { PixelData: "OB" },
    // Type 2: there even where the image has none.
    ...{ PatientName: "", PatientID: "", PatientBirthDate: "", PatientSex: "" },
    ...{ StudyDate: "", StudyTime: "", StudyID: "", AccessionNumber: "", ReferringPhysicianName: "" },
    ...taken,
    SpecificCharacterSet: "ISO_IR 192",
    SOPClassUID: sopClassUid,
    SOPInstanceUID: sopInstanceUid,
    Modality: modality,
    SeriesInstanceUID: uidOf(`${kind} ${source.seriesInstanceUid}`),
    SeriesNumber: 9000,
    SeriesDescription: description,
    SeriesDate: date,
    SeriesTime: time,
    InstanceNumber: 1,
    InstanceCreationDate: date,
    InstanceCreationTime: time,
    ContentDate: date,
    ContentTime: time,
    Manufacturer: "Consilium",
    ManufacturerModelName: maker.model,
    DeviceSerialNumber: maker.sha256.slice(0, 16),
    SoftwareVersions: maker.software,
    ...attributes,
  };
  try {
    return new Uint8Array(dcmjs().data.datasetToDict(dataset).write());
  } catch {
    throw new ConsiliumError("dicom.no-object");
  }
}

/** A UID of the 2.25 arc (PS3.5 B.2), the same for the same text. */
export function uidOf(text: string): string {
  const digest = createHash("sha256").update(`consilium uid ${text}`).digest("hex");
  return `2.25.${BigInt(`0x${digest.slice(0, 32)}`)}`;
}

/** How another object refers to an image (PS3.3 table 10-11). */
export const referenceTo = ({ sopClassUid, sopInstanceUid }: SourceImage): NaturalDataset => ({
  ReferencedSOPClassUID: sopClassUid,
  ReferencedSOPInstanceUID: sopInstanceUid,
});

export const code = (value: string, scheme: string, meaning: string): NaturalDataset => ({
  CodeValue: value,
  CodingSchemeDesignator: scheme,
  CodeMeaning: meaning,
});

/** A class of the labels that the network learned from: no dictionary knows it. */
export const classCode = (name: string): NaturalDataset =>
  code(createHash("sha256").update(name).digest("hex").slice(0, 12).toUpperCase(), PRIVATE_SCHEME, name);
