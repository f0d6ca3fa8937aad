/** Where the pixels of a site's images lie in the patient, read from the images' headers: for labels that are drawn there. */
import { ConsiliumError } from "@consilium/shared/errors";
import { imageKey, patientKey } from "../../dataset/keys.ts";
import { walkFiles } from "../folder.ts";
import { DataSet } from "../header/data-set.ts";
import { readDicomFile } from "../header/file.ts";

const SERIES = 0x0020_000e;

export type Triple = readonly [number, number, number];

/** Size of an image, and its plane in the patient's coordinates (PS3.3 C.7.6.2.1.1), if the header gives it. */
export interface ImageGeometry {
  readonly image: string;
  readonly rows: number;
  readonly columns: number;
  readonly plane: ImagePlane | null;
}

export interface ImagePlane {
  /** Of the centre of the first pixel, in millimetres. */
  readonly position: Triple;
  /** From one pixel to the next of its row, in millimetres. */
  readonly alongRow: Triple;
  /** From one row to the next, in millimetres. */
  readonly alongColumn: Triple;
}

/** Images by key; of a series, of a patient, by the keys of their UID and id. */
export interface ImageIndex {
  readonly images: ReadonlyMap<string, ImageGeometry>;
  readonly series: ReadonlyMap<string, readonly string[]>;
  readonly patients: ReadonlyMap<string, readonly string[]>;
  /** Volumes of NIfTI by the path and the name of their file, without its ending; null where several have the name. */
  readonly files: ReadonlyMap<string, NamedVolume | null>;
}

export interface NamedVolume {
  readonly key: string;
  /** Names of its slices among the images. */
  readonly slices: readonly string[];
}

export const NO_IMAGES: ImageIndex = {
  images: new Map(),
  series: new Map(),
  patients: new Map(),
  files: new Map(),
};

/**
 * Reads the headers below a folder of images. What cannot be read is left out: ingest has counted it.
 * @throws ingest.folder-missing; the signal's reason
 */
export async function indexImages(
  folder: string,
  secret: Uint8Array,
  signal?: AbortSignal,
): Promise<ImageIndex> {
  const images = new Map<string, ImageGeometry>();
  const series = new Map<string, string[]>();
  const patients = new Map<string, string[]>();
  const add = (to: Map<string, string[]>, key: string, image: string): void => {
    const members = to.get(key);
    if (members === undefined) to.set(key, [image]);
    else members.push(image);
  };
  for await (const { path } of walkFiles(folder)) {
    signal?.throwIfAborted();
    try {
      const header = readDicomFile(
        path,
        () => undefined,
        () => false,
      );
      const { sopInstanceUid, patientId } = header.identifiers;
      const image = imageKey(secret, sopInstanceUid);
      if (sopInstanceUid === "" || images.has(image)) continue;
      const { rows, columns } = header.format;
      images.set(image, { image, rows, columns, plane: planeOf(header.frameAttributes[0]) });
      const seriesUid = DataSet.parse(header.bytes, header.syntax).text(SERIES);
      if (seriesUid !== undefined) add(series, imageKey(secret, seriesUid), image);
      if (patientId !== "") add(patients, patientKey(secret, "", patientId), image);
    } catch (error) {
      if (!(error instanceof ConsiliumError)) throw error;
    }
  }
  return { images, series, patients, files: new Map() };
}

interface Attributes {
  readonly pixelSpacing: readonly number[] | null;
  readonly position: readonly number[] | null;
  readonly orientation: readonly number[] | null;
}

export function planeOf(attributes: Attributes | undefined): ImagePlane | null {
  const { pixelSpacing, position, orientation } = attributes ?? {};
  if (pixelSpacing == null || position == null || orientation == null) return null;
  const [betweenRows = 0, betweenColumns = 0] = pixelSpacing;
  if (!(betweenRows > 0 && betweenColumns > 0)) return null;
  return {
    position: triple(position, 0, 1),
    alongRow: triple(orientation, 0, betweenColumns),
    alongColumn: triple(orientation, 3, betweenRows),
  };
}

const triple = (values: readonly number[], from: number, scale: number): Triple => [
  (values[from] ?? 0) * scale,
  (values[from + 1] ?? 0) * scale,
  (values[from + 2] ?? 0) * scale,
];

export const dot = (a: Triple, b: Triple): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

export const cross = (a: Triple, b: Triple): Triple => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** Column and row of a point in the patient, pixel centres at whole numbers. */
export function toPixel(
  { position, alongRow, alongColumn }: ImagePlane,
  point: Triple,
): readonly [number, number] {
  const from: Triple = [point[0] - position[0], point[1] - position[1], point[2] - position[2]];
  return [
    dot(from, alongRow) / dot(alongRow, alongRow),
    dot(from, alongColumn) / dot(alongColumn, alongColumn),
  ];
}

/** The point in the patient where a pixel's centre lies. */
export function toPatient(
  { position, alongRow, alongColumn }: ImagePlane,
  column: number,
  row: number,
): Triple {
  const at = (axis: 0 | 1 | 2): number => position[axis] + column * alongRow[axis] + row * alongColumn[axis];
  return [at(0), at(1), at(2)];
}
