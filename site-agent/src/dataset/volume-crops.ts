/**
 * Random resized crops of volumes: one matrix more than an image's, over the slices. Volumes lie as patients do (see
 * ingest/volume/orientation.ts): slices from the feet up, rows from front to back, columns from right to left.
 *
 * A crop may be mirrored left to right, as the plan has it for images, and in no other way: a person upside down or back
 * to front is not met in any hospital.
 */
import {
  cropMatrices,
  interpolate,
  wholeImage,
  type Crop,
  type CropMatrices,
  type CropOptions,
} from "./crops.ts";
import type { Random } from "./random.ts";
import type { RecordShape } from "./types.ts";

/** A box of the source volume; borders may fall between voxels. */
export interface VolumeCrop extends Crop {
  /** First slice, and how many. */
  readonly front: number;
  readonly depth: number;
}

export interface VolumeCropMatrices extends CropMatrices {
  /** [crops, target slices, source slices] */
  readonly slices: Float32Array;
}

type Box = Pick<RecordShape, "sizePx" | "depthPx">;

/** Of each side's length against the others'. */
const MAX_ASPECT = 4 / 3;
const ATTEMPTS = 10;

/** The whole volume, as it is seen in evaluation. */
export function wholeVolume({ sizePx, depthPx }: Box): VolumeCrop {
  return { ...wholeImage(sizePx), front: 0, depth: depthPx };
}

/** `cropMinArea` and `cropMaxArea` are shares of the volume here; otherwise as `randomCrop`. */
export function randomVolumeCrop(
  box: Box,
  { cropMinArea, cropMaxArea, flip }: CropOptions,
  random: Random,
): VolumeCrop {
  const { sizePx, depthPx } = box;
  const mirrored = flip && random.uniform() < 0.5;
  const aspect = (): number => Math.exp((2 * random.uniform() - 1) * Math.log(MAX_ASPECT));
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const share = cropMinArea + (cropMaxArea - cropMinArea) * random.uniform();
    const side = Math.cbrt(share);
    const [acrossSlices, acrossColumns] = [aspect(), aspect()];
    const depth = depthPx * side * acrossSlices;
    const width = sizePx * side * acrossColumns;
    const height = (sizePx * side) / (acrossSlices * acrossColumns);
    if (depth > depthPx || width > sizePx || height > sizePx) continue;
    if (depth < 1 || width < 1 || height < 1) continue;
    const front = (depthPx - depth) * random.uniform();
    const left = (sizePx - width) * random.uniform();
    const top = (sizePx - height) * random.uniform();
    return { front, depth, top, left, height, width, flip: mirrored };
  }
  return { ...wholeVolume(box), flip: mirrored };
}

/** The matrices of a batch, one crop a volume. */
export function volumeCropMatrices(
  crops: readonly VolumeCrop[],
  source: Box,
  target: Box,
): VolumeCropMatrices {
  const stride = target.depthPx * source.depthPx;
  const slices = new Float32Array(crops.length * stride);
  for (const [i, { front, depth }] of crops.entries()) {
    interpolate(slices.subarray(i * stride, (i + 1) * stride), {
      start: front,
      length: depth,
      reversed: false,
      sourcePx: source.depthPx,
      targetPx: target.depthPx,
    });
  }
  return { ...cropMatrices(crops, source.sizePx, target.sizePx), slices };
}
