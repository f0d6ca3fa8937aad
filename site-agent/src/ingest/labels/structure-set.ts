/**
 * Masks from RT structure sets (PS3.3 C.8.8.5, C.8.8.6): closed planar contours, in the patient's coordinates, on the images
 * that they name. A contour within another of the same region is a hole (even-odd), as CLOSED_PLANAR_XOR says outright.
 */
import { imageKey } from "../../dataset/keys.ts";
import type { DataSet } from "../header/data-set.ts";
import type { GreyImage } from "../resize.ts";
import { toPixel, type ImageIndex, type ImagePlane, type Triple } from "./geometry.ts";
import type { LabelItem } from "./item.ts";
import { className, guarded, referencedInstances, type LabelObject } from "./label-object.ts";

const TAG = {
  referencedFrames: 0x3006_0010,
  referencedStudies: 0x3006_0012,
  referencedSeries: 0x3006_0014,
  contourImages: 0x3006_0016,
  rois: 0x3006_0020,
  roiNumber: 0x3006_0022,
  roiName: 0x3006_0026,
  roiContours: 0x3006_0039,
  contours: 0x3006_0040,
  geometricType: 0x3006_0042,
  contourData: 0x3006_0050,
  observations: 0x3006_0080,
  referencedRoi: 0x3006_0084,
  roiCode: 0x3006_0086,
} as const;

type Point = readonly [column: number, row: number];

/** Contours on images whose geometry is not at hand are counted as unreadable. */
export function* readStructureSet(
  { dataSet }: LabelObject,
  secret: Uint8Array,
  { images }: ImageIndex,
): Generator<LabelItem, void> {
  /** Every contour could be placed, so that an image without one shows nothing. */
  let isComplete = true;
  /** Regions with contours; planning systems list others that nobody has drawn yet. */
  const drawn: string[] = [];
  const names = guarded(() => regionNames(dataSet));
  for (const region of guarded(() => dataSet.items(TAG.roiContours))) {
    const label = names.get(region.integer(TAG.referencedRoi) ?? -1) ?? null;
    const contours = guarded(() => region.items(TAG.contours));
    if (contours.length === 0) continue;
    if (label === null) {
      yield { kind: "refused" };
      continue;
    }
    drawn.push(label);
    /** Image key -> contours in its pixels. */
    const polygons = new Map<string, Point[][]>();
    for (const contour of contours) {
      const placed = guarded(() => placeContour(contour, secret, images));
      if (placed === null) {
        isComplete = false;
        yield { kind: "unreadable" };
      } else polygons.set(placed.image, [...(polygons.get(placed.image) ?? []), placed.points]);
    }
    for (const [image, outlines] of polygons) {
      const size = images.get(image);
      if (size === undefined) continue;
      yield { kind: "looked-at", image, at: "masks", among: [label] };
      yield { kind: "mask", image, label, mask: fillPolygons(outlines, size.rows, size.columns) };
    }
  }
  if (isComplete)
    for (const uid of guarded(() => lookedAt(dataSet)))
      yield { kind: "looked-at", image: imageKey(secret, uid), at: "masks", among: drawn };
}

function regionNames(dataSet: DataSet): ReadonlyMap<number, string | null> {
  const codes = new Map(
    dataSet
      .items(TAG.observations)
      .map((observation) => [observation.integer(TAG.referencedRoi), observation.item(TAG.roiCode)] as const),
  );
  return new Map(
    dataSet.items(TAG.rois).map((roi) => {
      const number = roi.integer(TAG.roiNumber) ?? 0;
      return [number, className(dataSet, { text: roi.text(TAG.roiName), codes: [codes.get(number)] })];
    }),
  );
}

/** The instances of the series that the regions were drawn on. */
const lookedAt = (dataSet: DataSet): readonly string[] =>
  dataSet
    .items(TAG.referencedFrames)
    .flatMap((frame) => frame.items(TAG.referencedStudies))
    .flatMap((study) => study.items(TAG.referencedSeries))
    .flatMap((series) => referencedInstances(series.items(TAG.contourImages)));

function placeContour(
  contour: DataSet,
  secret: Uint8Array,
  images: ImageIndex["images"],
): { readonly image: string; readonly points: Point[] } | null {
  const [uid] = referencedInstances(contour.items(TAG.contourImages));
  if (uid === undefined || contour.text(TAG.geometricType)?.startsWith("CLOSED_PLANAR") !== true) return null;
  const image = imageKey(secret, uid);
  const plane = images.get(image)?.plane ?? null;
  const values = (contour.text(TAG.contourData) ?? "").split("\\").map(Number);
  if (plane === null || values.length < 9 || values.length % 3 !== 0 || !values.every(Number.isFinite))
    return null;
  return { image, points: pointsOf(values, plane) };
}

function pointsOf(values: readonly number[], plane: ImagePlane): Point[] {
  const points: Point[] = [];
  for (let i = 0; i < values.length; i += 3) {
    const point: Triple = [values[i] ?? 0, values[i + 1] ?? 0, values[i + 2] ?? 0];
    points.push(toPixel(plane, point));
  }
  return points;
}

/** Pixels whose centres lie within an odd number of the polygons have 255, all others 0. */
export function fillPolygons(
  polygons: readonly (readonly Point[])[],
  rows: number,
  columns: number,
): GreyImage {
  const values = new Float32Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const crossings = polygons.flatMap((polygon) => crossingsOf(polygon, y)).sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] ?? 0));
      const to = Math.min(columns, Math.ceil(crossings[i + 1] ?? 0));
      if (from < to) values.fill(255, y * columns + from, y * columns + to);
    }
  }
  return { rows, columns, values };
}

/** Columns where a polygon's edges cross the line through a row's centre. */
function crossingsOf(polygon: readonly Point[], y: number): number[] {
  const found: number[] = [];
  for (const [i, [x1, y1]] of polygon.entries()) {
    const [x2, y2] = polygon[(i + 1) % polygon.length] ?? [x1, y1];
    if (y1 <= y !== y2 <= y) found.push(x1 + ((y - y1) * (x2 - x1)) / (y2 - y1));
  }
  return found;
}
