/** Rectangles: how much two have in common, which of many to keep, and where they lie in which picture. */
import type { Crop } from "../../dataset/crops.ts";
import type { Placement } from "../../ingest/resize.ts";

/** Borders in pixels, from the top left; a side of length 0 holds nothing. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Detection extends Rectangle {
  readonly class: number;
  /** 0 to 1, the surest first. */
  readonly score: number;
}

export interface Target extends Rectangle {
  readonly class: number;
}

export function area({ left, top, right, bottom }: Rectangle): number {
  return Math.max(0, right - left) * Math.max(0, bottom - top);
}

/** Area in common by area covered, 0 to 1; 0 if both are empty. */
export function iou(a: Rectangle, b: Rectangle): number {
  const common = area(intersection(a, b));
  const covered = area(a) + area(b) - common;
  return covered > 0 ? common / covered : 0;
}

export function intersection(a: Rectangle, b: Rectangle): Rectangle {
  return {
    left: Math.max(a.left, b.left),
    top: Math.max(a.top, b.top),
    right: Math.min(a.right, b.right),
    bottom: Math.min(a.bottom, b.bottom),
  };
}

/**
 * Greedy non-maximum suppression: from the surest on, each drops those of its class that it overlaps by more than
 * `overlap`. @returns the surest first; of equal scores the earlier
 */
export function suppress(detections: readonly Detection[], overlap: number): Detection[] {
  const kept: Detection[] = [];
  for (const candidate of detections.toSorted((a, b) => b.score - a.score)) {
    const covered = kept.some((other) => other.class === candidate.class && iou(other, candidate) > overlap);
    if (!covered) kept.push(candidate);
  }
  return kept;
}

/** From pixels of the original to pixels of the square into which it was fitted. */
export function intoSquare<R extends Rectangle>(
  rectangle: R,
  { left, top, width, height }: Placement,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): R {
  return {
    ...rectangle,
    left: left + (rectangle.left * width) / columns,
    right: left + (rectangle.right * width) / columns,
    top: top + (rectangle.top * height) / rows,
    bottom: top + (rectangle.bottom * height) / rows,
  };
}

/** The way back; what lies beyond the original is cut off. */
export function outOfSquare<R extends Rectangle>(
  rectangle: R,
  { left, top, width, height }: Placement,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): R {
  const x = (px: number): number => Math.min(columns, Math.max(0, ((px - left) * columns) / width));
  const y = (px: number): number => Math.min(rows, Math.max(0, ((px - top) * rows) / height));
  return {
    ...rectangle,
    left: x(rectangle.left),
    right: x(rectangle.right),
    top: y(rectangle.top),
    bottom: y(rectangle.bottom),
  };
}

/** From pixels of the cached square to pixels of a view of `viewPx`; what lies outside is cut off. */
export function intoView<R extends Rectangle>(rectangle: R, crop: Crop, viewPx: number): R {
  const across = viewPx / crop.width;
  const down = viewPx / crop.height;
  const left = (rectangle.left - crop.left) * across;
  const right = (rectangle.right - crop.left) * across;
  const keep = (value: number): number => Math.min(viewPx, Math.max(0, value));
  return {
    ...rectangle,
    left: keep(crop.flip ? viewPx - right : left),
    right: keep(crop.flip ? viewPx - left : right),
    top: keep((rectangle.top - crop.top) * down),
    bottom: keep((rectangle.bottom - crop.top) * down),
  };
}
