/**
 * Masks from NIfTI files. The name says the image: `UID.nii.gz` or `UID_class.nii.gz`, with the SOP Instance UID of one image
 * or the Series Instance UID of a series, or the name of the NIfTI file that the volume was in. Without a class in the name each whole number above 0 is a class of its own.
 * Slices of a series, and images with a place in the patient, take the voxel nearest to each pixel's centre; an image
 * without one takes the file's first slice as it lies (first axis along the rows).
 *
 * A file that lies elsewhere than its image says nothing of it, though every pixel outside reads as 0; many are saved with the identity
 * for an affine. A mask is drawn on its image, so that its box covers the image's but for roundings: less is not taken.
 */
import { readFile } from "node:fs/promises";
import { isNIFTI, readHeader } from "nifti-reader-js";
import { imageKey } from "../../dataset/keys.ts";
import { labelTextSchema } from "@consilium/shared/label-text";
import { NIFTI_ENDING, type FoundFile } from "../folder.ts";
import { NIFTI_NUMBERS, niftiAffine, unzipped, type NiftiAffine } from "../nifti-file.ts";
import { toPatient, type ImageGeometry, type ImageIndex, type NamedVolume, type Triple } from "./geometry.ts";
import type { LabelItem } from "./item.ts";
import { maskName, type MaskName } from "./mask-images.ts";
import { MAX_CLASSES } from "./table.ts";

/** A volume of class numbers. */
interface MaskVolume {
  /** Voxels along the three axes; the first varies fastest. */
  readonly size: Triple;
  readonly valueAt: (index: number) => number;
  /** Null if not given. */
  readonly affine: NiftiAffine | null;
}

/**
 * Share of the images' pixels that lie within the file's box, at the least. A pixel or slice at the border may be lost to rounding and a
 * few slices left out; a mask that was cropped says nothing of the rest, and one that was moved lies by chance where it does.
 */
const LEAST_COVERED = 0.9;

/** Never throws for what the file may hold. */
export async function* readNiftiMask(
  file: FoundFile,
  secret: Uint8Array,
  { images, series, files }: ImageIndex,
): AsyncGenerator<LabelItem, void> {
  const ofFile = maskOfFile(file.relativePath, files);
  const name = ofFile ?? maskName(file.relativePath);
  if (name !== null && name.label !== null && !labelTextSchema.safeParse(name.label).success) {
    yield { kind: "refused" };
    return;
  }
  let volume: MaskVolume | null = null;
  try {
    if (name !== null) volume = openVolume(await readFile(file.path));
  } catch {
    // The library's message is not ours to show; the file is counted below.
  }
  if (name === null || volume === null) {
    yield { kind: "unreadable" };
    return;
  }
  const members = membersOf(name, series, secret).map((image) => ({
    image,
    sampling: samplingOf(volume, images.get(image) ?? null),
  }));
  if (
    !isOn(
      volume,
      members.flatMap(({ sampling }) => sampling ?? []),
    )
  ) {
    yield { kind: "unreadable" };
    return;
  }
  for (const { image, sampling } of members) {
    const masks = sampling === null ? null : masksOn(volume, sampling, name.label);
    if (masks === null) {
      yield { kind: "unreadable" };
      continue;
    }
    const among = name.label === null ? null : [name.label];
    yield { kind: "looked-at", image, at: "masks", among };
    for (const [label, { rows, columns, values }] of masks)
      yield { kind: "mask", image, label, mask: { rows, columns, values } };
  }
}

/** A volume of NIfTI that a mask is of, and the class that its name says, or its folder, if any does. */
interface FileMask {
  readonly volume: NamedVolume;
  readonly label: string | null;
}

/**
 * The masks' folder is like the images', or flat: `sub-01/t1.nii.gz`, `t1.nii.gz`, `t1_class.nii.gz` or `class/t1.nii.gz` for an image
 * `sub-01/t1.nii.gz`. Null if the name is no file's.
 */
function maskOfFile(relativePath: string, files: ImageIndex["files"]): FileMask | null {
  const path = relativePath.replace(NIFTI_ENDING, "");
  const parts = path.split("/");
  const name = parts.pop() ?? "";
  const folder = parts.at(-1) ?? null;
  const whole = files.get(path) ?? null;
  if (whole !== null) return { volume: whole, label: null };
  // The longest name first: image files may have underscores, too.
  for (let end = path.lastIndexOf("_"); end > path.lastIndexOf("/"); end = path.lastIndexOf("_", end - 1)) {
    const named = files.get(path.slice(0, end)) ?? files.get(path.slice(0, end).split("/").at(-1) ?? "");
    if (named != null) return { volume: named, label: path.slice(end + 1) };
  }
  const alone = files.get(name) ?? null;
  return alone === null ? null : { volume: alone, label: folder };
}

function membersOf(
  name: FileMask | MaskName,
  series: ImageIndex["series"],
  secret: Uint8Array,
): readonly string[] {
  if ("volume" in name) return name.volume.slices;
  const key = imageKey(secret, name.uid);
  return series.get(key) ?? [key];
}

interface Mask {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** Which voxel an image's pixels take, -1 outside. */
interface Sampling {
  readonly rows: number;
  readonly columns: number;
  readonly voxelOf: (x: number, y: number) => number;
}

/** Null if the file says nothing of this image. */
function samplingOf(volume: MaskVolume, geometry: ImageGeometry | null): Sampling | null {
  const [width, height, depth] = volume.size;
  const { rows, columns, plane } = geometry ?? { rows: height, columns: width, plane: null };
  const inverse = volume.affine === null ? null : inverseOf(volume.affine);
  if (plane !== null && inverse !== null) {
    const voxelOf = (x: number, y: number): number => {
      const [left, back, up] = toPatient(plane, x, y);
      // DICOM counts to the left and to the back (PS3.3 C.7.6.2.1.1), NIfTI to the right and to the front.
      const [i, j, k] = inverse([-left, -back, up]);
      return i < 0 || j < 0 || k < 0 || i >= width || j >= height || k >= depth
        ? -1
        : i + width * (j + height * k);
    };
    return { rows, columns, voxelOf };
  }
  if (depth !== 1 || rows !== height || columns !== width) return null;
  return { rows, columns, voxelOf: (x, y) => x + width * y };
}

/** Whether the file covers what it is named for, and what it holds is seen there. */
function isOn({ size, valueAt }: MaskVolume, samplings: readonly Sampling[]): boolean {
  let pixels = 0;
  let inside = 0;
  let isSeen = false;
  for (const { rows, columns, voxelOf } of samplings) {
    pixels += rows * columns;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const voxel = voxelOf(x, y);
        if (voxel < 0) continue;
        inside += 1;
        isSeen ||= isMarked(valueAt(voxel));
      }
    }
  }
  if (inside < LEAST_COVERED * pixels) return false;
  if (isSeen) return true;
  for (let voxel = 0; voxel < size[0] * size[1] * size[2]; voxel++)
    if (isMarked(valueAt(voxel))) return samplings.length === 0;
  return true;
}

const isMarked = (value: number): boolean => Math.round(value) > 0;

/** Null for an image instead of a mask. */
function masksOn(
  volume: MaskVolume,
  { rows, columns, voxelOf }: Sampling,
  label: string | null,
): ReadonlyMap<string, Mask> | null {
  const masks = new Map<string, Mask>();
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const voxel = voxelOf(x, y);
      const value = voxel < 0 ? 0 : Math.round(volume.valueAt(voxel));
      if (!(value > 0)) continue;
      const name = label ?? String(value);
      let mask = masks.get(name);
      if (mask === undefined) {
        // More values than classes can be: an image, not a mask.
        if (masks.size >= MAX_CLASSES) return null;
        mask = { rows, columns, values: new Float32Array(rows * columns) };
        masks.set(name, mask);
      }
      mask.values[y * columns + x] = 255;
    }
  }
  return masks;
}

/** Null for what is not one volume of numbers. */
function openVolume(file: Uint8Array): MaskVolume | null {
  const bytes = unzipped(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  if (!(buffer instanceof ArrayBuffer) || !isNIFTI(buffer)) return null;
  const header = readHeader(buffer);
  const [dimensions = 0, width = 0, height = 0, third = 1, ...others] = header.dims;
  const depth = dimensions >= 3 ? third : 1;
  const reader = NIFTI_NUMBERS.get(header.datatypeCode);
  const start = Math.floor(header.vox_offset);
  if (
    reader === undefined ||
    dimensions < 2 ||
    others.slice(0, Math.max(0, dimensions - 3)).some((n) => n > 1)
  )
    return null;
  if (width < 1 || height < 1 || depth < 1 || start < 0) return null;
  if (start + width * height * depth * reader.bytes > buffer.byteLength) return null;
  const view = new DataView(buffer);
  return {
    size: [width, height, depth],
    valueAt: (index) => reader.read(view, start + index * reader.bytes, header.littleEndian),
    affine: niftiAffine(header),
  };
}

/** From millimetres to the nearest voxel (Cramer's rule); null for a matrix that has no inverse. */
function inverseOf(affine: NiftiAffine): ((point: Triple) => Triple) | null {
  const column = (k: 0 | 1 | 2 | 3): Triple => {
    const at = (row: number): number => affine[row]?.[k] ?? NaN;
    return [at(0), at(1), at(2)];
  };
  const origin = column(3);
  const determinant = triple(column(0), column(1), column(2));
  if (!(Math.abs(determinant) > 1e-12)) return null;
  return ([x, y, z]) => {
    const to: Triple = [x - origin[0], y - origin[1], z - origin[2]];
    return [
      Math.round(triple(to, column(1), column(2)) / determinant),
      Math.round(triple(column(0), to, column(2)) / determinant),
      Math.round(triple(column(0), column(1), to) / determinant),
    ];
  };
}

const triple = (a: Triple, b: Triple, c: Triple): number =>
  a[0] * (b[1] * c[2] - b[2] * c[1]) -
  a[1] * (b[0] * c[2] - b[2] * c[0]) +
  a[2] * (b[0] * c[1] - b[1] * c[0]);
