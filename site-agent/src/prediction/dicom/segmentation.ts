/** Masks as a DICOM segmentation (PS3.3 A.51): binary, one segment a class and one frame a segment, on the image's own pixels. */
import type { NaturalDataset } from "./dcmjs.ts";
import {
  classCode,
  code,
  referenceTo,
  uidOf,
  writeObject,
  type Maker,
  type SourceImage,
  type Stamp,
} from "./object.ts";

export const SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4";

/** One class' mask: 1 inside; on all of the image, or on the region of it that begins at `left` and `top`. */
export interface SegmentMask {
  readonly label: string;
  readonly values: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly left: number;
  readonly top: number;
}

export function writeSegmentationObject(
  source: SourceImage,
  masks: readonly SegmentMask[],
  maker: Maker,
  stamp: Stamp,
): Uint8Array {
  const { rows, columns, dataset } = source;
  const dimension = uidOf(`dimensions ${maker.sha256} ${source.identity}`);
  const spatial = spatialGroups(source);
  const packer = new BitPacker(rows * columns);
  for (const mask of masks) packer.add(onWholeImage(mask, rows, columns));
  return writeObject(
    source,
    {
      sopClassUid: SEGMENTATION_STORAGE,
      modality: "SEG",
      description: `Segmentation by ${maker.model}`,
      attributes: {
        ...segmentationImage(rows, columns, masks.length),
        PatientOrientation: dataset.PatientOrientation ?? "",
        ...(spatial === null
          ? {}
          : { FrameOfReferenceUID: dataset.FrameOfReferenceUID, PositionReferenceIndicator: "" }),
        DimensionOrganizationSequence: [{ DimensionOrganizationUID: dimension }],
        DimensionIndexSequence: [
          {
            DimensionOrganizationUID: dimension,
            DimensionIndexPointer: 0x0062_000b,
            FunctionalGroupPointer: 0x0062_000a,
          },
        ],
        ReferencedSeriesSequence: [
          { SeriesInstanceUID: source.seriesInstanceUid, ReferencedInstanceSequence: [referenceTo(source)] },
        ],
        SegmentSequence: segmentsOf(
          masks.map(({ label }) => label),
          maker,
        ),
        SharedFunctionalGroupsSequence: [{ ...spatial }],
        PerFrameFunctionalGroupsSequence: masks.map((_, i) => ({
          FrameContentSequence: [{ DimensionIndexValues: i + 1 }],
          SegmentIdentificationSequence: [{ ReferencedSegmentNumber: i + 1 }],
          DerivationImageSequence: [derivationOf(referenceTo(source))],
        })),
        PixelData: [packer.finish().buffer],
      },
    },
    maker,
    stamp,
  );
}

/** What every binary segmentation says of its pixels (PS3.3 C.8.20.2). */
export const segmentationImage = (rows: number, columns: number, frames: number): NaturalDataset => ({
  ImageType: ["DERIVED", "PRIMARY"],
  SamplesPerPixel: 1,
  PhotometricInterpretation: "MONOCHROME2",
  Rows: rows,
  Columns: columns,
  BitsAllocated: 1,
  BitsStored: 1,
  HighBit: 0,
  PixelRepresentation: 0,
  LossyImageCompression: "00",
  SegmentationType: "BINARY",
  ContentLabel: "SEGMENTATION",
  ContentDescription: "",
  ContentCreatorName: "",
  NumberOfFrames: frames,
});

export const segmentsOf = (labels: readonly string[], maker: Maker): readonly NaturalDataset[] =>
  labels.map((label, i) => ({
    SegmentNumber: i + 1,
    SegmentLabel: label,
    SegmentAlgorithmType: "AUTOMATIC",
    SegmentAlgorithmName: maker.model,
    // The labels say what a class is called, and no more: neither organ nor lesion.
    SegmentedPropertyCategoryCodeSequence: [code("309825002", "SCT", "Spatial and Relational Concept")],
    SegmentedPropertyTypeCodeSequence: [classCode(label)],
  }));

/** @param reference to the image, or the frame of one, that a frame was made from */
export const derivationOf = (reference: NaturalDataset): NaturalDataset => ({
  DerivationCodeSequence: [code("113076", "DCM", "Segmentation")],
  SourceImageSequence: [
    {
      ...reference,
      SpatialLocationsPreserved: "YES",
      PurposeOfReferenceCodeSequence: [code("121322", "DCM", "Source image for image processing operation")],
    },
  ],
});

/** Where the pixels lie in the patient, if the image says (CT, MR); projections do not. */
function spatialGroups({ dataset }: SourceImage) {
  const { PixelSpacing, ImageOrientationPatient, ImagePositionPatient, SliceThickness, FrameOfReferenceUID } =
    dataset;
  if (
    FrameOfReferenceUID === undefined ||
    PixelSpacing === undefined ||
    ImageOrientationPatient === undefined ||
    ImagePositionPatient === undefined
  ) {
    return null;
  }
  return {
    PixelMeasuresSequence: [{ PixelSpacing, ...(SliceThickness === undefined ? {} : { SliceThickness }) }],
    PlaneOrientationSequence: [{ ImageOrientationPatient }],
    PlanePositionSequence: [{ ImagePositionPatient }],
  };
}

function onWholeImage(
  { values, left, top, rows, columns }: SegmentMask,
  height: number,
  width: number,
): Uint8Array {
  if (rows === height && columns === width) return values;
  const whole = new Uint8Array(height * width);
  for (let y = 0; y < rows; y++) {
    whole.set(values.subarray(y * columns, (y + 1) * columns), (top + y) * width + left);
  }
  return whole;
}

/** All frames' bits one after the other, the lowest bit of a byte first (PS3.5 8.1.1); even in length. */
export class BitPacker {
  readonly #pixels: number;
  #bytes = new Uint8Array(1024);
  #frames = 0;

  /** @param pixels of a frame */
  constructor(pixels: number) {
    this.#pixels = pixels;
  }

  /** @param frame not 0 is set */
  add(frame: Uint8Array): void {
    const from = this.#frames * this.#pixels;
    this.#frames += 1;
    const length = this.#length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    for (const [i, value] of frame.entries()) {
      const bit = from + i;
      if (value !== 0) this.#bytes[bit >> 3] = (this.#bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }

  /** In a buffer of its own. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  get #length(): number {
    const bytes = Math.ceil((this.#frames * this.#pixels) / 8);
    return bytes + (bytes % 2);
  }
}
