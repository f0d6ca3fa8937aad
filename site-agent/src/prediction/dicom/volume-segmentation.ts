/** Masks of a volume as a DICOM segmentation (PS3.3 A.51): binary, one frame for each slice on which a segment has a voxel. */
import type { NaturalDataset } from "./dcmjs.ts";
import { uidOf, writeObject, type Maker, type Stamp } from "./object.ts";
import {
  BitPacker,
  derivationOf,
  SEGMENTATION_STORAGE,
  segmentationImage,
  segmentsOf,
} from "./segmentation.ts";
import type { SourceVolume } from "./volume.ts";

interface Placed {
  readonly segment: number;
  readonly slice: number;
}

/** @param maskOf slices x rows x columns, 1 inside; called once for each label in turn */
export function writeVolumeSegmentation(
  source: SourceVolume,
  labels: readonly string[],
  maskOf: (ofClass: number) => Uint8Array,
  maker: Maker,
  stamp: Stamp,
): Uint8Array {
  const { first, slices, references, spacing, orientation } = source;
  const { rows, columns, dataset } = first;
  const pixels = rows * columns;
  const packer = new BitPacker(pixels);
  const frames: Placed[] = [];
  for (const [c] of labels.entries()) {
    const mask = maskOf(c);
    for (const [slice] of slices.entries()) {
      const frame = mask.subarray(slice * pixels, (slice + 1) * pixels);
      if (frame.every((value) => value === 0)) continue;
      packer.add(frame);
      frames.push({ segment: c + 1, slice });
    }
  }
  if (frames.length === 0) {
    // An object of no frames is none; one that is empty says that nothing was found.
    packer.add(new Uint8Array(pixels));
    frames.push({ segment: 1, slice: 0 });
  }
  const dimension = uidOf(`dimensions ${maker.sha256} ${first.identity}`);
  const place = (slice: number) => slices[slice] ?? { reference: {}, position: [] };
  return writeObject(
    first,
    {
      sopClassUid: SEGMENTATION_STORAGE,
      modality: "SEG",
      description: `Segmentation by ${maker.model}`,
      attributes: {
        ...segmentationImage(rows, columns, frames.length),
        FrameOfReferenceUID: dataset.FrameOfReferenceUID ?? uidOf(`frame ${first.seriesInstanceUid}`),
        PositionReferenceIndicator: "",
        DimensionOrganizationSequence: [{ DimensionOrganizationUID: dimension }],
        DimensionIndexSequence: [
          {
            DimensionOrganizationUID: dimension,
            DimensionIndexPointer: 0x0062_000b,
            FunctionalGroupPointer: 0x0062_000a,
          },
          {
            DimensionOrganizationUID: dimension,
            DimensionIndexPointer: 0x0020_0032,
            FunctionalGroupPointer: 0x0020_9113,
          },
        ],
        ReferencedSeriesSequence: [
          { SeriesInstanceUID: first.seriesInstanceUid, ReferencedInstanceSequence: references },
        ],
        SegmentSequence: segmentsOf(labels, maker),
        SharedFunctionalGroupsSequence: [
          {
            PixelMeasuresSequence: [
              {
                PixelSpacing: [spacing[1], spacing[2]],
                SliceThickness: spacing[0],
                SpacingBetweenSlices: spacing[0],
              },
            ],
            PlaneOrientationSequence: [{ ImageOrientationPatient: orientation }],
          },
        ],
        PerFrameFunctionalGroupsSequence: frames.map(({ segment, slice }): NaturalDataset => ({
          FrameContentSequence: [{ DimensionIndexValues: [segment, slice + 1] }],
          SegmentIdentificationSequence: [{ ReferencedSegmentNumber: segment }],
          PlanePositionSequence: [{ ImagePositionPatient: place(slice).position }],
          DerivationImageSequence: [derivationOf(place(slice).reference)],
        })),
        PixelData: [packer.finish().buffer],
      },
    },
    maker,
    stamp,
  );
}
