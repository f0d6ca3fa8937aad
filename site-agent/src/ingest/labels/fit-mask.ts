/** A mask of an original image in the geometry of its cached square. */
import { fitToSquare, placeInSquare, type GreyImage } from "../resize.ts";

/** Size of what was cached of an image, and where it begins in the original, if only a region was taken. */
export interface CachedRegion {
  readonly rows: number;
  readonly columns: number;
  readonly left?: number | undefined;
  readonly top?: number | undefined;
}

/** @returns sizePx^2 bytes, coverage 0 .. 255; null if the mask has other proportions than the image */
export function fitMask(mask: GreyImage, region: CachedRegion, sizePx: number): Uint8Array | null {
  const part = cropTo(mask, region);
  const expected = placeInSquare(region.rows, region.columns, sizePx);
  const actual = placeInSquare(part.rows, part.columns, sizePx);
  if (actual.width !== expected.width || actual.height !== expected.height) return null;
  return fitToSquare(part, sizePx);
}

/** The region out of a mask of the whole original; masks of the region itself, or of images taken whole, as they are. */
function cropTo(mask: GreyImage, { rows, columns, left, top }: CachedRegion): GreyImage {
  if (left === undefined || top === undefined) return mask;
  if (mask.rows < top + rows || mask.columns < left + columns) return mask;
  const values = new Float32Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const from = (top + y) * mask.columns + left;
    values.set(mask.values.subarray(from, from + columns), y * columns);
  }
  return { rows, columns, values };
}
