/** The plan's grid, filled slice by slice: whatever the source's size, no more than one of its slices is in memory. */
import type { Plan } from "@consilium/shared/plan";
import { axisWeights, type AxisWeights } from "./axis.ts";
import { placeAxes, type AxisPlace, type TargetAxis } from "./orientation.ts";
import type { Vector } from "./vector.ts";

/** What a volume is before it is laid on the grid. Every triple is of slices, rows and columns. */
export interface SourceVolume {
  readonly counts: readonly [slices: number, rows: number, columns: number];
  readonly spacingMm: readonly [number, number, number];
  /** In which each is counted: to the left, to the back, to the head. */
  readonly directions: readonly [Vector, Vector, Vector];
}

export interface Grid {
  readonly depthPx: number;
  readonly sizePx: number;
  /** depthPx x sizePx x sizePx rescaled values. */
  readonly values: Float32Array;
  /** 1 where the source reaches a voxel; those beyond it are 0 in `values`. */
  readonly inside: Uint8Array;
}

type PlannedVolume = NonNullable<Plan["volume"]>;

/** One source axis on its way to the grid. */
interface Way {
  readonly weights: AxisWeights;
  readonly count: number;
  /** From place to place in the grid's values. */
  readonly stride: number;
}

export class GridFiller {
  readonly #sizePx: number;
  readonly #depthPx: number;
  readonly #values: Float32Array;
  readonly #ways: readonly [Way, Way, Way];
  readonly #rows: number;
  readonly #columns: number;

  constructor({ counts, spacingMm, directions }: SourceVolume, sizePx: number, planned: PlannedVolume) {
    const { depthPx } = planned;
    this.#sizePx = sizePx;
    this.#depthPx = depthPx;
    this.#values = new Float32Array(depthPx * sizePx ** 2);
    const target: Readonly<Record<TargetAxis, { count: number; mm: number; stride: number }>> = {
      slices: { count: depthPx, mm: planned.sliceSpacingMm, stride: sizePx ** 2 },
      rows: { count: sizePx, mm: planned.pixelSpacingMm, stride: sizePx },
      columns: { count: sizePx, mm: planned.pixelSpacingMm, stride: 1 },
    };
    const way = (axis: AxisPlace, from: number, fromMm: number): Way => {
      const { count, mm, stride } = target[axis.target];
      const weights = axisWeights({ from, fromMm, to: count, toMm: mm, reversed: axis.reversed });
      return { weights, count, stride };
    };
    const [slices, rows, columns] = placeAxes(directions);
    this.#ways = [
      way(slices, counts[0], spacingMm[0]),
      way(rows, counts[1], spacingMm[1]),
      way(columns, counts[2], spacingMm[2]),
    ];
    this.#rows = counts[1];
    this.#columns = counts[2];
  }

  /**
   * Adds source slice number `slice`. Each is to be added once; their order does not matter.
   * @param plane rows x columns rescaled values
   */
  add(slice: number, plane: Float32Array): void {
    const [across, down, along] = this.#ways;
    const shares = shareOf(across.weights, slice);
    if (shares.length === 0) return;
    const lines = narrow(plane, this.#rows, this.#columns, along.weights); // [rows, columns of the grid]
    const width = along.count;
    for (let y = 0; y < down.count; y++) {
      const weights = down.weights.weights[y] ?? [];
      const first = down.weights.first[y] ?? 0;
      if (weights.length === 0) continue;
      for (let x = 0; x < width; x++) {
        let value = 0;
        for (let k = 0; k < weights.length; k++)
          value += (weights[k] ?? 0) * (lines[(first + k) * width + x] ?? 0);
        const at = y * down.stride + x * along.stride;
        for (const { place, weight } of shares) {
          const voxel = at + place * across.stride;
          this.#values[voxel] = (this.#values[voxel] ?? 0) + weight * value;
        }
      }
    }
  }

  finish(): Grid {
    const inside = new Uint8Array(this.#values.length).fill(1);
    for (const { weights, count, stride } of this.#ways) {
      const isReached = weights.weights.map((parts) => parts.length > 0);
      for (let voxel = 0; voxel < inside.length; voxel++)
        if (isReached[Math.floor(voxel / stride) % count] !== true) inside[voxel] = 0;
    }
    return { depthPx: this.#depthPx, sizePx: this.#sizePx, values: this.#values, inside };
  }
}

/** The places of the result that a source place goes into, and how much of each it makes. */
function shareOf(
  { first, weights }: AxisWeights,
  source: number,
): readonly { readonly place: number; readonly weight: number }[] {
  return weights.flatMap((parts, place) => {
    const weight = parts[source - (first[place] ?? 0)] ?? 0;
    return weight === 0 ? [] : [{ place, weight }];
  });
}

/** Resamples each row: [rows, columns] -> [rows, places of the result]. */
function narrow(plane: Float32Array, rows: number, columns: number, axis: AxisWeights): Float32Array {
  const { first, weights } = axis;
  const lines = new Float32Array(rows * weights.length);
  for (let row = 0; row < rows; row++) {
    for (const [x, parts] of weights.entries()) {
      const from = row * columns + (first[x] ?? 0);
      let value = 0;
      for (let k = 0; k < parts.length; k++) value += (parts[k] ?? 0) * (plane[from + k] ?? 0);
      lines[row * weights.length + x] = value;
    }
  }
  return lines;
}
