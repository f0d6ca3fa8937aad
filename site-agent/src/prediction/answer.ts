/** What a network says of one image or volume, in pixels or voxels of the original. */
import type { CachedRecord } from "../dataset/cache-format.ts";
import { detectionsOf, DRAWN_SCORE } from "../downstream/localization/kind.ts";
import { outOfSquare, type Detection } from "../downstream/localization/rectangles.ts";
import type { ImageOutputs } from "../downstream/predict.ts";
import { SURE } from "../downstream/segmentation/kind.ts";
import type { TrainedTask } from "../downstream/trained-network.ts";
import { bilinear, centreAmong, placeInSquare } from "../ingest/resize.ts";
import { maskOnOriginal, type GridProbabilities, type OriginalVolume } from "./grid-masks.ts";

export type Answer =
  | { readonly kind: "classes"; readonly probabilities: readonly number[] }
  /** Independent of each other. */
  | { readonly kind: "findings"; readonly probabilities: readonly number[] }
  /** The surest first. */
  | { readonly kind: "boxes"; readonly detections: readonly Detection[] }
  /** One a class, rows x columns of what was looked at, 1 inside. */
  | { readonly kind: "masks"; readonly masks: readonly Uint8Array[] }
  /** Of a volume, which may be large: made one class at a time. */
  | {
      readonly kind: "volume-masks";
      readonly classes: number;
      readonly size: readonly [slices: number, rows: number, columns: number];
      readonly voxelMm3: number;
      /** slices x rows x columns, 1 inside. */
      readonly maskOf: (ofClass: number) => Uint8Array;
    };

/** The part of an image that was looked at: all of it, or a region. */
export type Looked = Pick<CachedRecord, "rows" | "columns" | "left" | "top">;

export interface Sizes {
  readonly cachePx: number;
  /** Side of the image that the network sees. */
  readonly imagePx: number;
}

const EMPTY = new Float32Array();

/** @param outputs the network's, of this image alone */
export function answerOf(
  { task, classes }: Pick<TrainedTask, "task" | "classes">,
  outputs: ImageOutputs,
  looked: Looked,
  { cachePx, imagePx }: Sizes,
): Answer {
  const { probabilities = EMPTY, scores = EMPTY, boxes = EMPTY } = outputs;
  if (task === "classification") return { kind: "classes", probabilities: [...probabilities] };
  if (task === "findings") return { kind: "findings", probabilities: [...probabilities] };
  if (task === "segmentation") {
    const masks = classes.map((_, c) => enlargedMask(probabilities, c, classes.length, looked, cachePx));
    return { kind: "masks", masks };
  }
  const place = placeInSquare(looked.rows, looked.columns, cachePx);
  const { left = 0, top = 0 } = looked;
  const detections = detectionsOf(scores, boxes, classes.length, cachePx / imagePx).flatMap((detection) => {
    if (detection.score < DRAWN_SCORE) return [];
    const inRegion = outOfSquare(detection, place, looked);
    return {
      ...inRegion,
      left: inRegion.left + left,
      right: inRegion.right + left,
      top: inRegion.top + top,
      bottom: inRegion.bottom + top,
    };
  });
  return { kind: "boxes", detections };
}

/** @param outputs the network's, of this volume alone, on the plan's grid */
export function volumeAnswer(
  { task, classes }: Pick<TrainedTask, "task" | "classes">,
  { probabilities = EMPTY }: ImageOutputs,
  original: OriginalVolume,
  grid: Pick<GridProbabilities, "sizePx" | "planned">,
): Answer {
  if (task === "classification") return { kind: "classes", probabilities: [...probabilities] };
  if (task === "findings") return { kind: "findings", probabilities: [...probabilities] };
  const said = { ...grid, values: probabilities, classes: classes.length };
  const [slice, row, column] = original.spacingMm;
  return {
    kind: "volume-masks",
    classes: classes.length,
    size: original.counts,
    voxelMm3: slice * row * column,
    maskOf: (ofClass) => maskOnOriginal(said, original, ofClass),
  };
}

/** Probabilities are interpolated up to the original's pixels, and only then cut at one half: borders stay smooth. */
function enlargedMask(
  probabilities: Float32Array,
  of: number,
  classes: number,
  { rows, columns }: Looked,
  cachePx: number,
): Uint8Array {
  const place = placeInSquare(rows, columns, cachePx);
  const across = Array.from({ length: columns }, (_, x) => centreAmong(x, columns, place.width));
  const mask = new Uint8Array(rows * columns);
  const at = (y: number, x: number): number =>
    probabilities[((place.top + y) * cachePx + place.left + x) * classes + of] ?? 0;
  for (let y = 0; y < rows; y++) {
    const down = centreAmong(y, rows, place.height);
    for (const [x, where] of across.entries()) {
      mask[y * columns + x] = Number(bilinear(at, down, where) >= SURE);
    }
  }
  return mask;
}
