/** Boxes around what the phantom knows to be there, as in boxes.csv: pixels, top-left origin. */
import type { Projection } from "./thorax.ts";

export interface Box {
  readonly label: "right_lung" | "left_lung" | "opacity";
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** One box per lung, right lung first; a lung outside the picture has none. */
export function lungBoxes({ rows, columns, lungs }: Projection): Box[] {
  return (["right_lung", "left_lung"] as const).flatMap((label, i) => {
    const pixels: number[] = [];
    lungs.forEach((side, index) => {
      if (side === i + 1) pixels.push(index);
    });
    return pixels.length === 0 ? [] : [around(label, pixels, rows, columns)];
  });
}

/** An opacity thinner than this share of the densest one is left out of the box: nobody would see it. */
const VISIBLE = 0.35;
/** Smaller specks are parts of a ragged rim. */
const MIN_PIXELS = 12;

/** One box per connected opacity (4 neighbours), in reading order of their first pixel. */
export function opacityBoxes({ rows, columns, opacity }: Projection): Box[] {
  const threshold = VISIBLE * opacity.reduce((most, value) => Math.max(most, value), 0);
  if (threshold === 0) return [];
  const seen = new Uint8Array(opacity.length);
  const boxes: Box[] = [];
  for (let start = 0; start < opacity.length; start++) {
    if (seen[start] === 1 || (opacity[start] ?? 0) < threshold) continue;
    const pixels: number[] = [start];
    seen[start] = 1;
    // The list grows while it is walked: a breadth-first flood.
    for (const index of pixels) {
      const column = index % columns;
      for (const next of [
        column > 0 ? index - 1 : -1,
        column + 1 < columns ? index + 1 : -1,
        index - columns,
        index + columns,
      ]) {
        if (seen[next] !== 0 || (opacity[next] ?? 0) < threshold) continue;
        seen[next] = 1;
        pixels.push(next);
      }
    }
    if (pixels.length >= MIN_PIXELS) boxes.push(around("opacity", pixels, rows, columns));
  }
  return boxes;
}

function around(label: Box["label"], pixels: readonly number[], rows: number, columns: number): Box {
  let [left, right, top, bottom] = [columns, 0, rows, 0];
  for (const index of pixels) {
    const column = index % columns;
    const row = Math.floor(index / columns);
    left = Math.min(left, column);
    right = Math.max(right, column);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row);
  }
  return { label, x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}
