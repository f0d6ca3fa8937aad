/** A mask of a volume as NIfTI-1 (nifti.nimh.nih.gov), gzipped: whole numbers, with an sform, and no text at all. */
import { gzipSync } from "node:zlib";
import type { Stack } from "../ingest/volume/group.ts";
import { minus, times } from "../ingest/volume/vector.ts";

/** Rows of the matrix that takes voxel numbers (column, row, slice) to millimetres, to the right, to the front, up. */
export type Affine = readonly (readonly number[])[];

const HEADER_BYTES = 348;
const START = 352;
const UINT8 = 2;
const MILLIMETRES = 2;
/** Aligned to some other image: the coordinates of the scanner. */
const SCANNER = 1;
/** "n+1" */
const MAGIC = [0x6e, 0x2b, 0x31, 0];

/** @param size slices, rows and columns of the mask, whose values lie in this order */
export function niftiMask(
  mask: Uint8Array,
  [slices, rows, columns]: readonly [number, number, number],
  affine: Affine,
): Uint8Array {
  const bytes = new Uint8Array(START + mask.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, HEADER_BYTES, true);
  for (const [i, count] of [3, columns, rows, slices, 1, 1, 1, 1].entries())
    view.setInt16(40 + 2 * i, count, true);
  view.setInt16(70, UINT8, true);
  view.setInt16(72, 8, true);
  const axisMm = (axis: number): number => Math.hypot(...affine.map((row) => row[axis] ?? 0));
  for (const [i, mm] of [1, axisMm(0), axisMm(1), axisMm(2)].entries()) view.setFloat32(76 + 4 * i, mm, true);
  view.setFloat32(108, START, true);
  view.setFloat32(112, 1, true); // slope
  view.setUint8(123, MILLIMETRES);
  view.setInt16(254, SCANNER, true);
  for (const [axis, row] of affine.entries())
    for (const [i, value] of row.entries()) view.setFloat32(280 + 16 * axis + 4 * i, value, true);
  bytes.set(MAGIC, 344);
  bytes.set(mask, START);
  return gzipSync(bytes);
}

/** Of a tilted gantry it leans, as the slices do. DICOM counts to the left and to the back (PS3.3 C.7.6.2.1.1), NIfTI to the right and to the front. */
export function affineOf({ slices }: Stack): Affine {
  const [{ geometry }] = slices;
  const { position, alongColumns, alongRows, pixelSpacing } = geometry;
  const [rowMm, columnMm] = pixelSpacing;
  const last = slices.at(-1)?.geometry.position ?? position;
  const up = times(minus(last, position), 1 / (slices.length - 1));
  const steps = [times(alongColumns, columnMm), times(alongRows, rowMm), up, position];
  return ([0, 1, 2] as const).map((axis) => steps.map((step) => (axis === 2 ? step[axis] : -step[axis])));
}
