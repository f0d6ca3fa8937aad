/** Folders of volumes, as `ct-series.ts` draws them, and the plans that they are read under. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { inputProfile, type InputProfile } from "@consilium/shared/input-profile";
import { parsePlan } from "@consilium/shared/plan";
import { writeCtSeries, type CtSeries } from "./ct-series.ts";

export interface VolumePlan {
  readonly cachePx: number;
  readonly volume: {
    readonly depthPx: number;
    readonly sliceSpacingMm: number;
    readonly pixelSpacingMm: number;
  };
  readonly channels?: 1 | 3;
}

/** How images are read under a plan for volumes. */
export function volumeProfile({ cachePx, volume, channels = 1 }: VolumePlan): InputProfile {
  const { depthPx } = volume;
  const model = { dimensions: 3, depthPx, patchDepthPx: 2, imagePx: cachePx, patchPx: 8, channels };
  return inputProfile(parsePlan({ federation: "test", title: "Test", rounds: 1, cachePx, volume, model }));
}

/** A file in a folder that need not be there; returns its path. */
export async function put(file: string, bytes: Uint8Array | string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
  return file;
}

/** By name slices lie in another order than in space. */
const shuffled = (n: number): string => `${(n * 7) % 101}-${n}.dcm`;

/** A file for each slice; returns their paths in the order in which they were given. */
export function putSlices(
  folder: string,
  slices: readonly Uint8Array[],
  nameOf: (n: number) => string = shuffled,
): Promise<string[]> {
  return Promise.all(slices.map((bytes, n) => put(path.join(folder, nameOf(n)), bytes)));
}

/** A whole series, drawn and written. */
export async function putSeries(
  folder: string,
  series: CtSeries,
  nameOf?: (n: number) => string,
): Promise<string[]> {
  return putSlices(folder, await writeCtSeries(series), nameOf);
}
