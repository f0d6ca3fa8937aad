/** Image Pixel Module (PS3.3 C.7.6.3): how stored values are laid out. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { DataSet } from "./data-set.ts";

export type Photometric =
  | "MONOCHROME1"
  | "MONOCHROME2"
  | "PALETTE COLOR"
  | "RGB"
  | "YBR_FULL"
  | "YBR_FULL_422"
  | "YBR_RCT"
  | "YBR_ICT"
  | "XYB";

export interface PixelFormat {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  /** 1 to 32. Today's writers use 1 and multiples of 8, old ones also 12. */
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  /** Colour planes one after the other instead of pixel by pixel. */
  readonly planar: boolean;
  readonly photometric: Photometric;
}

const TAG = {
  samples: 0x0028_0002,
  photometric: 0x0028_0004,
  planar: 0x0028_0006,
  rows: 0x0028_0010,
  columns: 0x0028_0011,
  bitsAllocated: 0x0028_0100,
  bitsStored: 0x0028_0101,
  highBit: 0x0028_0102,
  pixelRepresentation: 0x0028_0103,
} as const;

const SAMPLES: ReadonlyMap<string, { readonly photometric: Photometric; readonly samples: 1 | 3 }> = new Map(
  (
    [
      ["MONOCHROME1", 1],
      ["MONOCHROME2", 1],
      ["PALETTE COLOR", 1],
      ["RGB", 3],
      ["YBR_FULL", 3],
      ["YBR_FULL_422", 3],
      ["YBR_RCT", 3],
      ["YBR_ICT", 3],
      ["XYB", 3],
    ] as const
  ).map(([photometric, samples]) => [photometric, { photometric, samples }]),
);

/** @throws dicom.unsupported for what is missing, contradicts itself or is not in the lists above */
export function readPixelFormat(dataSet: DataSet): PixelFormat {
  const required = (tag: number): number => dataSet.uint16(tag) ?? 0;
  const bitsAllocated = required(TAG.bitsAllocated);
  const bitsStored = dataSet.uint16(TAG.bitsStored) ?? bitsAllocated;
  const samples = dataSet.uint16(TAG.samples) ?? 1;
  const known = SAMPLES.get(dataSet.text(TAG.photometric) ?? "");
  const format = {
    rows: required(TAG.rows),
    columns: required(TAG.columns),
    bitsAllocated,
    bitsStored,
    highBit: dataSet.uint16(TAG.highBit) ?? bitsStored - 1,
    signed: (dataSet.uint16(TAG.pixelRepresentation) ?? 0) === 1,
    planar: (dataSet.uint16(TAG.planar) ?? 0) === 1,
  };
  if (
    known?.samples !== samples ||
    format.rows < 1 ||
    format.columns < 1 ||
    bitsAllocated < 1 ||
    bitsAllocated > 32 ||
    bitsStored < 1 ||
    bitsStored > bitsAllocated ||
    format.highBit >= bitsAllocated ||
    format.highBit + 1 < bitsStored ||
    (bitsAllocated === 1 && samples !== 1)
  )
    throw new ConsiliumError("dicom.unsupported", { detail: "(pixel description)" });
  return { ...format, ...known };
}
