/**
 * A segmentation's frame on its image. Most are stored as the image is; where both say how they lie in the patient, that is compared, for
 * what a viewer or a converter has turned over says something else of every pixel.
 */
import type { GreyImage } from "../resize.ts";
import { cross, dot, toPatient, toPixel, type ImageGeometry, type ImagePlane } from "./geometry.ts";

/** Pixels, or shares of a pixel's side across the plane: what decimal strings round to. */
const TOLERANCE = 0.1;

type Fit = (mask: GreyImage) => GreyImage;

/**
 * What takes the frame's mask to the image's pixels: itself where it lies as the image does, at whatever resolution; exactly, where it is
 * turned, mirrored or cut out on the same pixels, with nothing beyond the frame. Null where it lies elsewhere.
 */
export function fitOf(
  plane: ImagePlane | null,
  { rows, columns }: Pick<GreyImage, "rows" | "columns">,
  image: ImageGeometry | null,
): Fit | null {
  if (plane === null || image?.plane == null) return asItIs;
  const onImage = image.plane;
  const at = (x: number, y: number): readonly [number, number] => toPixel(plane, toPatient(onImage, x, y));
  const right = image.columns - 0.5;
  const bottom = image.rows - 0.5;
  const corners = [
    [-0.5, -0.5],
    [right, -0.5],
    [-0.5, bottom],
    [right, bottom],
  ] as const;
  if (corners.some(([x, y]) => distance(plane, onImage, x, y) > TOLERANCE)) return null;
  const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= TOLERANCE;
  const isSame = corners.every(([x, y]) => {
    const [u, v] = at(x, y);
    return (
      isNear(u, ((x + 0.5) * columns) / image.columns - 0.5) &&
      isNear(v, ((y + 0.5) * rows) / image.rows - 0.5)
    );
  });
  if (isSame) return asItIs;
  return onPixels(at, corners, { rows, columns }, image);
}

const asItIs: Fit = (mask) => mask;

/** From the frame's plane, in the smaller side of its pixels. */
function distance(plane: ImagePlane, image: ImagePlane, x: number, y: number): number {
  const { position, alongRow, alongColumn } = plane;
  const point = toPatient(image, x, y);
  const normal = cross(alongRow, alongColumn);
  const away = dot([point[0] - position[0], point[1] - position[1], point[2] - position[2]], normal);
  const side = Math.sqrt(Math.min(dot(alongRow, alongRow), dot(alongColumn, alongColumn)));
  return Math.abs(away) / Math.sqrt(dot(normal, normal)) / side;
}

/** Null unless each of the image's pixels is one of the frame's, and some are in it. */
function onPixels(
  at: (x: number, y: number) => readonly [number, number],
  corners: readonly (readonly [number, number])[],
  frame: Pick<GreyImage, "rows" | "columns">,
  image: ImageGeometry,
): Fit | null {
  const [u0, v0] = at(0, 0);
  const step = (x: number, y: number): readonly [number, number] => {
    const [u, v] = at(x, y);
    return [Math.round(u - u0), Math.round(v - v0)];
  };
  const [ux, vx] = step(1, 0);
  const [uy, vy] = step(0, 1);
  const place = (x: number, y: number): readonly [number, number] => [
    Math.round(u0) + ux * x + uy * y,
    Math.round(v0) + vx * x + vy * y,
  ];
  const isExact =
    Math.abs(ux * vy - uy * vx) === 1 &&
    corners.every(([x, y]) => {
      const [u, v] = at(x, y);
      const [wholeU, wholeV] = place(x, y);
      return Math.abs(u - wholeU) <= TOLERANCE && Math.abs(v - wholeV) <= TOLERANCE;
    });
  if (!isExact) return null;
  const { rows, columns } = image;
  const isInside = (u: number, v: number): boolean => u >= 0 && v >= 0 && u < frame.columns && v < frame.rows;
  const sources = Int32Array.from({ length: rows * columns }, (_, i) => {
    const [u, v] = place(i % columns, Math.floor(i / columns));
    return isInside(u, v) ? v * frame.columns + u : -1;
  });
  if (sources.every((source) => source === -1)) return null;
  return ({ values }) => ({
    rows,
    columns,
    values: Float32Array.from(sources, (source) => values[source] ?? 0),
  });
}
