/** Rescaled values on the grid to grey channels, as grey.ts does it for images. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { ChannelRanges, GreyRange } from "@consilium/shared/input-profile";
import { distinct, PERCENTILES, windowRange } from "../grey.ts";
import type { GreyHints } from "../header/grey-hints.ts";
import type { Grid } from "./grid.ts";

export interface GreyVolumeHints {
  readonly window: GreyHints["window"];
  /** MONOCHROME1: low values are bright. */
  readonly inverted: boolean;
}

/**
 * Percentiles are of the voxels inside the source, after resampling. Voxels beyond it are black.
 * @returns channels x depthPx x sizePx x sizePx bytes
 * @throws dicom.flat if no channel has contrast
 */
export function greyVolume(grid: Grid, hints: GreyVolumeHints, ranges: ChannelRanges): Uint8Array {
  const { values, inside } = grid;
  const ascending = values.filter((_, voxel) => inside[voxel] === 1).sort();
  const channels = distinct(ranges, (range) => {
    const [low, high] = rangeOf(range, ascending, hints);
    const scale = high > low ? 255 / (high - low) : 0;
    const bytes = new Uint8Array(values.length);
    for (let voxel = 0; voxel < bytes.length; voxel++) {
      if (inside[voxel] !== 1) continue;
      const grey = Math.min(255, Math.max(0, ((values[voxel] ?? 0) - low) * scale));
      bytes[voxel] = Math.round(hints.inverted ? 255 - grey : grey);
    }
    // Values differ, and some of the difference lies within the range.
    const [least = 0, most = 0] = [ascending[0], ascending.at(-1)];
    return { bytes, hasContrast: most > least && most > low && least < high };
  });
  if (!channels.some(({ hasContrast }) => hasContrast)) throw new ConsiliumError("dicom.flat");
  const record = new Uint8Array(channels.length * values.length);
  for (const [i, { bytes }] of channels.entries()) record.set(bytes, i * values.length);
  return record;
}

function rangeOf(
  range: GreyRange,
  ascending: Float32Array,
  { window: named }: GreyVolumeHints,
): readonly [number, number] {
  const window = range.range === "window" ? range : range.range === "header" ? named : null;
  if (window !== null) return windowRange(window);
  const { low, high } = range.range === "percentile" ? range : PERCENTILES;
  const found = [quantile(ascending, low), quantile(ascending, high)] as const;
  return found[1] > found[0] ? found : [quantile(ascending, 0), quantile(ascending, 1)];
}

/** Linear between the two nearest in order of value, as NumPy does by default. */
function quantile(ascending: Float32Array, share: number): number {
  const position = share * (ascending.length - 1);
  const below = ascending[Math.floor(position)] ?? 0;
  const above = ascending[Math.ceil(position)] ?? 0;
  return below + (above - below) * (position - Math.floor(position));
}
