/**
 * NIfTI-1 and -2 (nifti.nimh.nih.gov), plain or gzipped: one volume of real numbers. The sform or the qform says how it
 * lies; NIfTI counts to the right and to the front where DICOM counts to the left and to the back.
 */
import { readFileSync } from "node:fs";
import { ConsiliumError } from "@consilium/shared/errors";
import { isNIFTI, NIFTI1, NIFTI2, readHeader } from "nifti-reader-js";
import { NIFTI_NUMBERS, niftiAffine, unzipped, type NiftiAffine } from "../nifti-file.ts";
import type { SourceVolume } from "./grid.ts";
import { dot, length, times, type Vector } from "./vector.ts";

export interface NiftiVolume {
  readonly source: SourceVolume;
  readonly affine: NiftiAffine;
  /** Rescaled values of a slice, rows x columns. */
  readonly plane: (slice: number) => Float32Array;
}

type Header = NIFTI1 | NIFTI2;

/** More than either version's header and its extension flag. */
const HEADER_BYTES = 1024;

/** Cosine between axes that are not at right angles. */
const SHEARED = 0.02;

/** The file's bytes, unzipped. @throws nifti.unreadable */
export function readNiftiFile(path: string): Uint8Array {
  try {
    return unzipped(readFileSync(path));
  } catch (cause) {
    throw new ConsiliumError("nifti.unreadable", { cause });
  }
}

/** @throws nifti.unreadable, nifti.unsupported, volume.no-position, volume.tilted */
export function openNifti(bytes: Uint8Array): NiftiVolume {
  const header = headerOf(bytes);
  const [dimensions = 0, columns = 0, rows = 0, slices = 0, ...others] = header.dims;
  const isOneVolume = dimensions >= 3 && others.slice(0, dimensions - 3).every((count) => count <= 1);
  if (!isOneVolume || columns < 1 || rows < 1 || slices < 1) throw unsupported("not one volume");
  const type = NIFTI_NUMBERS.get(header.datatypeCode);
  if (type === undefined) throw unsupported("data type");
  const planeLength = rows * columns;
  const start = Math.floor(header.vox_offset);
  if (!(start >= 0) || start + planeLength * slices * type.bytes > bytes.length)
    throw new ConsiliumError("nifti.unreadable");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { slope, intercept } = scaling(header);
  const plane = (slice: number): Float32Array => {
    const from = start + slice * planeLength * type.bytes;
    const values = new Float32Array(planeLength);
    let least = Infinity;
    for (let i = 0; i < planeLength; i++) {
      // Rounded first, for what is beyond float32 becomes infinite.
      const value = Math.fround(
        slope * type.read(view, from + i * type.bytes, header.littleEndian) + intercept,
      );
      values[i] = value;
      if (value < least) least = value;
    }
    // Masked voxels are NaN in some files: as if nothing were there.
    const lowest = Number.isFinite(least) ? least : 0;
    return values.map((value) => (Number.isFinite(value) ? value : lowest));
  };
  const { affine, ...lie } = geometry(header);
  return { source: { counts: [slices, rows, columns], ...lie }, affine, plane };
}

function headerOf(bytes: Uint8Array): Header {
  try {
    // The library wants an ArrayBuffer of its own (a Buffer's may hold other files); it reads the header alone.
    const head = new Uint8Array(bytes.subarray(0, HEADER_BYTES)).buffer;
    if (isNIFTI(head)) return readHeader(head);
  } catch (cause) {
    throw new ConsiliumError("nifti.unreadable", { cause });
  }
  throw new ConsiliumError("nifti.unreadable");
}

/** A slope of 0 means that values are not scaled. */
function scaling({ scl_slope, scl_inter }: Header): { readonly slope: number; readonly intercept: number } {
  const isScaled = Number.isFinite(scl_slope) && scl_slope !== 0 && Number.isFinite(scl_inter);
  return isScaled ? { slope: scl_slope, intercept: scl_inter } : { slope: 1, intercept: 0 };
}

function geometry(
  header: Header,
): Pick<SourceVolume, "spacingMm" | "directions"> & Pick<NiftiVolume, "affine"> {
  const affine = niftiAffine(header);
  if (affine === null) throw new ConsiliumError("volume.no-position");
  const axis = (column: 0 | 1 | 2): Vector => {
    const at = (row: 0 | 1 | 2): number => affine[row]?.[column] ?? NaN;
    return [-at(0), -at(1), at(2)];
  };
  const axes = [axis(2), axis(1), axis(0)] as const;
  const spacingMm = [length(axes[0]), length(axes[1]), length(axes[2])] as const;
  if (!spacingMm.every((mm) => Number.isFinite(mm) && mm > 0)) throw unsupported("affine");
  const direction = (i: 0 | 1 | 2): Vector => times(axes[i], 1 / spacingMm[i]);
  const directions = [direction(0), direction(1), direction(2)] as const;
  const [a, b, c] = directions;
  if (Math.max(Math.abs(dot(a, b)), Math.abs(dot(b, c)), Math.abs(dot(a, c))) > SHEARED)
    throw new ConsiliumError("volume.tilted");
  return { spacingMm, directions, affine };
}

const unsupported = (what: string): ConsiliumError =>
  new ConsiliumError("nifti.unsupported", { detail: `(${what})` });
