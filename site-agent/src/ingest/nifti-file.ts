/** What is read of any NIfTI file, be it a volume or a mask: its bytes unzipped, and its numbers by their type. */
import { gunzipSync } from "node:zlib";
import { NIFTI1 } from "nifti-reader-js";

export interface NiftiNumbers {
  readonly bytes: number;
  readonly read: (view: DataView, at: number, littleEndian: boolean) => number;
}

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
