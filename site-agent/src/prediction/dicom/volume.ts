/** A series that predictions are about: its slices as they refer to and lie beside each other. */
import type { Stack } from "../../ingest/volume/group.ts";
import type { NaturalDataset } from "./dcmjs.ts";
import { readSource, referenceTo, type SourceImage } from "./object.ts";

export interface SourceSlice {
  /** Of the image, and of the frame where it has several (PS3.3 table 10-3). */
  readonly reference: NaturalDataset;
  /** Centre of the first pixel, in millimetres. */
  readonly position: readonly string[];
}

export interface SourceVolume {
  /** The lowest slice: patient and study go over from it, and UIDs follow from it. */
  readonly first: SourceImage;
  /** Ascending along the normal. */
  readonly slices: readonly SourceSlice[];
  /** Of all files, each once. */
  readonly references: readonly NaturalDataset[];
  readonly spacing: readonly [slice: string, row: string, column: string];
  readonly orientation: readonly string[];
}

/** Reads the headers of all files. @throws dicom.no-object */
export async function readVolumeSource({ slices, spacingMm }: Stack): Promise<SourceVolume> {
  const sources = new Map<string, SourceImage>();
  for (const { file } of slices)
    if (!sources.has(file.path)) sources.set(file.path, await readSource(file.path));
  const sourceOf = (path: string): SourceImage => {
    const source = sources.get(path);
    if (source === undefined) throw new Error("a slice of no file");
    return source;
  };
  const [lowest] = slices;
  const first = sourceOf(lowest.file.path);
  const { alongColumns, alongRows, pixelSpacing } = lowest.geometry;
  return {
    // One file of many frames may hold several volumes.
    first: lowest.frame === 0 ? first : { ...first, identity: `${first.identity} ${lowest.frame}` },
    slices: slices.map(({ file, frame, geometry }) => {
      const source = sourceOf(file.path);
      const isOneOfMany = Number(source.dataset.NumberOfFrames ?? 1) > 1;
      return {
        reference: {
          ...referenceTo(source),
          ...(isOneOfMany && { ReferencedFrameNumber: String(frame + 1) }),
        },
        position: geometry.position.map(decimal),
      };
    }),
    references: [...sources.values()].map(referenceTo),
    spacing: [decimal(spacingMm), decimal(pixelSpacing[0]), decimal(pixelSpacing[1])],
    orientation: [...alongColumns, ...alongRows].map(decimal),
  };
}

/** A decimal string has 16 characters at most (PS3.5 6.2). */
const decimal = (value: number): string => String(Number(value.toPrecision(9)));
