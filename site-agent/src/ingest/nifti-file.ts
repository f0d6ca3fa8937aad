/** What is read of any NIfTI file, be it a volume or a mask: its bytes unzipped, its numbers by their type, and where it lies. */
import { gunzipSync } from "node:zlib";
import { NIFTI1, type NIFTI2 } from "nifti-reader-js";

export interface NiftiNumbers {
  readonly bytes: number;
  readonly read: (view: DataView, at: number, littleEndian: boolean) => number;
}

/** Of the matrix that takes voxel numbers (column, row, slice) to millimetres, to the right, to the front, up: three rows of four. */
export type NiftiAffine = readonly (readonly number[])[];

/** Millimetres in a unit of length, by the lowest three bits of xyzt_units; 0 is unknown and taken for millimetres. */
const MM_PER_UNIT = [1, 1000, 1, 0.001];
const UNIT_BITS = 7;
const GZIP = [0x1f, 0x8b];
/** What Node can hold in one buffer on every platform. */
const MAX_BYTES = 2 ** 31 - 1;

/** By datatype code; complex numbers, colours and 64-bit integers are not read. */
export const NIFTI_NUMBERS: ReadonlyMap<number, NiftiNumbers> = new Map<number, NiftiNumbers>([
  [NIFTI1.TYPE_UINT8, { bytes: 1, read: (view, at) => view.getUint8(at) }],
  [NIFTI1.TYPE_INT8, { bytes: 1, read: (view, at) => view.getInt8(at) }],
  [NIFTI1.TYPE_INT16, { bytes: 2, read: (view, at, little) => view.getInt16(at, little) }],
  [NIFTI1.TYPE_UINT16, { bytes: 2, read: (view, at, little) => view.getUint16(at, little) }],
  [NIFTI1.TYPE_INT32, { bytes: 4, read: (view, at, little) => view.getInt32(at, little) }],
  [NIFTI1.TYPE_UINT32, { bytes: 4, read: (view, at, little) => view.getUint32(at, little) }],
  [NIFTI1.TYPE_FLOAT32, { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) }],
  [NIFTI1.TYPE_FLOAT64, { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) }],
]);

/** The bytes as they are, or unzipped. Damaged streams and those that would not fit throw zlib's errors. */
export function unzipped(bytes: Uint8Array): Uint8Array {
  const isZipped = GZIP.every((byte, i) => bytes[i] === byte);
  return isZipped ? gunzipSync(bytes, { maxOutputLength: MAX_BYTES }) : bytes;
}

/** By the sform where there is one, as most software has it, else by the qform; null where the file has neither. */
export function niftiAffine(header: NIFTI1 | NIFTI2): NiftiAffine | null {
  if (header.sform_code < 1 && header.qform_code < 1) return null;
  const unit = MM_PER_UNIT[header.xyzt_units & UNIT_BITS] ?? 1;
  return matrixOf(header)
    .slice(0, 3)
    .map((row) => row.slice(0, 4).map((value) => value * unit));
}

function matrixOf(header: NIFTI1 | NIFTI2): readonly (readonly number[])[] {
  if (header.sform_code > 0 && header.sform_code >= header.qform_code) return header.affine;
  const { quatern_b: b, quatern_c: c, quatern_d: d, qoffset_x, qoffset_y, qoffset_z, pixDims } = header;
  const [qfac = 1, dx = 1, dy = 1, dz = 1] = pixDims;
  // Unlike the header's own affine this stands a quaternion whose length rounding has taken above 1.
  return header.convertNiftiQFormToNiftiSForm(
    b,
    c,
    d,
    qoffset_x,
    qoffset_y,
    qoffset_z,
    dx,
    dy,
    dz,
    qfac < 0 ? -1 : 1,
  );
}
