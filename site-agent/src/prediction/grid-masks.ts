/** What a network says of the plan's grid, on the voxels of the volume that was laid on it: the way of ingest, backwards. */
import type { Plan } from "@consilium/shared/plan";
import { SURE } from "../downstream/segmentation/kind.ts";
import type { Between } from "../ingest/resize.ts";
import type { SourceVolume } from "../ingest/volume/grid.ts";
import { placeAxes, type TargetAxis } from "../ingest/volume/orientation.ts";

/** A volume as it was acquired. */
export interface OriginalVolume extends SourceVolume {
  /** Of each slice, where a gantry was tilted: rows and columns by which it lies off (ingest/volume/straighten.ts). */
  readonly shifts: readonly (readonly [rows: number, columns: number])[] | null;
}

export interface GridProbabilities {
  /** depthPx x sizePx x sizePx x classes. */
  readonly values: Float32Array;
  readonly classes: number;
  readonly sizePx: number;
  readonly planned: NonNullable<Plan["volume"]>;
}

/** One axis of the original on its way to the grid. */
interface Way {
  /** Where the centre of a place, or of one so far beside it, lies among the grid's; null beyond the grid. */
  readonly at: (place: number) => Between | null;
  /** From place to place in the grid's values. */
  readonly stride: number;
  readonly count: number;
}

/**
 * Probabilities are interpolated at the centre of each voxel and only then cut at one half; beyond the grid nothing is said.
 * @returns 1 inside, slices x rows x columns of the original
 */
export function maskOnOriginal(
  grid: GridProbabilities,
  original: OriginalVolume,
  ofClass: number,
): Uint8Array {
  const { values, classes } = grid;
  const [slices, rows, columns] = original.counts;
  const [across, down, along] = waysTo(grid, original);
  const mask = new Uint8Array(slices * rows * columns);
  const plane = new Float32Array(down.count * along.count);
  const everyRow = Array.from({ length: rows }, (_, row) => down.at(row));
  const everyColumn = Array.from({ length: columns }, (_, column) => along.at(column));
  for (let slice = 0; slice < slices; slice++) {
    const between = across.at(slice);
    if (between === null) continue;
    const { low, high, share } = between;
    for (let y = 0; y < down.count; y++) {
      for (let x = 0; x < along.count; x++) {
        const place = y * down.stride + x * along.stride;
        const below = values[(place + low * across.stride) * classes + ofClass] ?? 0;
        const above = values[(place + high * across.stride) * classes + ofClass] ?? 0;
        plane[y * along.count + x] = (1 - share) * below + share * above;
      }
    }
    const shift = original.shifts?.[slice];
    const rowsOn = shift === undefined ? everyRow : everyRow.map((_, row) => down.at(row + shift[0]));
    const columnsOn = shift === undefined ? everyColumn : everyColumn.map((_, c) => along.at(c + shift[1]));
    cut(plane, along.count, rowsOn, columnsOn, mask.subarray(slice * rows * columns));
  }
  return mask;
}

function cut(
  plane: Float32Array,
  width: number,
  rows: readonly (Between | null)[],
  columns: readonly (Between | null)[],
  out: Uint8Array,
): void {
  for (const [row, down] of rows.entries()) {
    if (down === null) continue;
    const [above, below] = [down.low * width, down.high * width];
    for (const [column, along] of columns.entries()) {
      if (along === null) continue;
      const { low, high, share } = along;
      const upper = (1 - share) * (plane[above + low] ?? 0) + share * (plane[above + high] ?? 0);
      const lower = (1 - share) * (plane[below + low] ?? 0) + share * (plane[below + high] ?? 0);
      out[row * columns.length + column] = Number((1 - down.share) * upper + down.share * lower >= SURE);
    }
  }
}

function waysTo(
  { sizePx, planned }: GridProbabilities,
  { counts, spacingMm, directions }: OriginalVolume,
): readonly [Way, Way, Way] {
  const { depthPx, sliceSpacingMm, pixelSpacingMm } = planned;
  const targets: Readonly<Record<TargetAxis, { count: number; mm: number; stride: number }>> = {
    slices: { count: depthPx, mm: sliceSpacingMm, stride: sizePx ** 2 },
    rows: { count: sizePx, mm: pixelSpacingMm, stride: sizePx },
    columns: { count: sizePx, mm: pixelSpacingMm, stride: 1 },
  };
  const places = placeAxes(directions);
  const way = (axis: 0 | 1 | 2): Way => {
    const { target, reversed } = places[axis];
    const { count, mm, stride } = targets[target];
    const from = counts[axis];
    const scale = mm / spacingMm[axis];
    // As ingest/volume/axis.ts lays them: about the middle of both.
    const start = (from - count * scale) / 2;
    const at = (place: number): Between | null => {
      const centre = (reversed ? from - 1 - place : place) + 0.5;
      const exact = (centre - start) / scale - 0.5;
      if (exact < -0.5 || exact > count - 0.5) return null;
      const inside = Math.min(count - 1, Math.max(0, exact));
      const low = Math.floor(inside);
      return { low, high: Math.min(count - 1, low + 1), share: inside - low };
    };
    return { at, stride, count };
  };
  return [way(0), way(1), way(2)];
}
