/**
 * Which way a volume lies. Every one is turned, by whole quarter turns and mirrorings of its axes, to lie as nearly as it
 * can like an axial series: slices from the feet to the head, rows from front to back, columns from the patient's right to
 * the left. So a sagittal series and an axial one of the same head look alike, and left stays left.
 */
import type { Vector } from "./vector.ts";

/** Where an axis of the source goes in the target. */
export interface AxisPlace {
  readonly target: TargetAxis;
  /** Counted the other way round. */
  readonly reversed: boolean;
}

/** In the order in which a record stores them. */
export type TargetAxis = "slices" | "rows" | "columns";

/** The coordinate (to the left, to the back, to the head) along which each target axis is counted. */
const COORDINATE: Readonly<Record<TargetAxis, 0 | 1 | 2>> = { columns: 0, rows: 1, slices: 2 };

const ORDERS: readonly (readonly [TargetAxis, TargetAxis, TargetAxis])[] = [
  ["slices", "rows", "columns"],
  ["slices", "columns", "rows"],
  ["rows", "slices", "columns"],
  ["rows", "columns", "slices"],
  ["columns", "slices", "rows"],
  ["columns", "rows", "slices"],
];

/**
 * @param directions of the source's slices, rows and columns, as they are counted
 * @returns for each of the three its place
 */
export function placeAxes(
  directions: readonly [Vector, Vector, Vector],
): readonly [AxisPlace, AxisPlace, AxisPlace] {
  const along = (source: 0 | 1 | 2, target: TargetAxis): number => directions[source][COORDINATE[target]];
  const score = (order: (typeof ORDERS)[number]): number =>
    Math.abs(along(0, order[0])) + Math.abs(along(1, order[1])) + Math.abs(along(2, order[2]));
  const best = ORDERS.reduce((a, b) => (score(b) > score(a) + 1e-9 ? b : a));
  const place = (source: 0 | 1 | 2): AxisPlace => ({
    target: best[source],
    reversed: along(source, best[source]) < 0,
  });
  return [place(0), place(1), place(2)];
}
