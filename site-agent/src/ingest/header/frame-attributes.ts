/**
 * What may differ from frame to frame: units of the values and the place in space. Single-frame objects have it at the
 * top; enhanced multi-frame ones in functional groups (PS3.3 C.7.6.16), a frame's own before the shared ones.
 */
import type { DataSet } from "./data-set.ts";
import { readRescale, readWindow, type GreyHints } from "./grey-hints.ts";

/** Null where the header does not say. Lengths in millimetres, in the patient's coordinates (PS3.3 C.7.6.2.1.1). */
export interface FrameAttributes {
  readonly rescale: GreyHints["rescale"] | null;
  readonly window: GreyHints["window"];
  /** From row to row, from column to column. */
  readonly pixelSpacing: readonly number[] | null;
  readonly sliceThickness: number | null;
  readonly spacingBetweenSlices: number | null;
  /** Of the centre of the first pixel: x, y, z. */
  readonly position: readonly number[] | null;
  /** Direction of a row, then of a column: 6 cosines. */
  readonly orientation: readonly number[] | null;
}

const TAG = {
  sliceThickness: 0x0018_0050,
  spacingBetweenSlices: 0x0018_0088,
  position: 0x0020_0032,
  orientation: 0x0020_0037,
  pixelSpacing: 0x0028_0030,
  shared: 0x5200_9229,
  perFrame: 0x5200_9230,
} as const;

/** Functional group macros, each a sequence of one item. */
const GROUP = {
  pixelMeasures: 0x0028_9110,
  planePosition: 0x0020_9113,
  planeOrientation: 0x0020_9116,
  pixelValueTransformation: 0x0028_9145,
  frameVoiLut: 0x0028_9132,
} as const;

/** @returns one for each frame */
export function readFrameAttributes(dataSet: DataSet, frames: number): readonly FrameAttributes[] {
  const shared = dataSet.item(TAG.shared);
  const perFrame = dataSet.items(TAG.perFrame);
  if (shared === undefined && perFrame.length === 0) {
    const common = attributes(() => [dataSet]);
    return Array.from({ length: frames }, () => common);
  }
  return Array.from({ length: frames }, (_, index) => {
    const own = perFrame[index];
    return attributes((group) => [own?.item(group), shared?.item(group), dataSet]);
  });
}

type Places = (group: number) => readonly (DataSet | undefined)[];

function attributes(places: Places): FrameAttributes {
  /** What the first place that has it says. */
  const find = <T>(group: number, read: (place: DataSet) => T | null): T | null => {
    for (const place of places(group)) {
      const found = place === undefined ? null : read(place);
      if (found !== null) return found;
    }
    return null;
  };
  const length = (tag: number): number | null =>
    find(GROUP.pixelMeasures, (place) => place.decimal(tag) ?? null);
  return {
    rescale: find(GROUP.pixelValueTransformation, readRescale),
    window: find(GROUP.frameVoiLut, readWindow),
    pixelSpacing: find(GROUP.pixelMeasures, (place) => place.decimals(TAG.pixelSpacing, 2)),
    sliceThickness: length(TAG.sliceThickness),
    spacingBetweenSlices: length(TAG.spacingBetweenSlices),
    position: find(GROUP.planePosition, (place) => place.decimals(TAG.position, 3)),
    orientation: find(GROUP.planeOrientation, (place) => place.decimals(TAG.orientation, 6)),
  };
}
