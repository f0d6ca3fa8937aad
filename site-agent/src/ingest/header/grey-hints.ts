/** What turns stored values into grey. */
import type { DataSet } from "./data-set.ts";
import { readModalityLut, type LookupTable } from "./lookup-table.ts";

export interface GreyHints {
  readonly modality: string;
  /** Stored values from low to high mean "outside the image". */
  readonly padding: { readonly low: number; readonly high: number } | null;
  readonly rescale: { readonly slope: number; readonly intercept: number };
  readonly modalityLut: LookupTable | null;
  /** In rescaled units. */
  readonly window: { readonly center: number; readonly width: number } | null;
}

const TAG = {
  paddingValue: 0x0028_0120,
  paddingLimit: 0x0028_0121,
  windowCenter: 0x0028_1050,
  windowWidth: 0x0028_1051,
  intercept: 0x0028_1052,
  slope: 0x0028_1053,
} as const;

/** Of the whole image, as single-frame objects have them. @throws dicom.unsupported for a cut lookup table */
export function readGreyHints(dataSet: DataSet, modality: string, signed: boolean): GreyHints {
  const stored = (tag: number): number | undefined => (signed ? dataSet.int16(tag) : dataSet.uint16(tag));
  const value = stored(TAG.paddingValue);
  const limit = stored(TAG.paddingLimit) ?? value;
  return {
    modality,
    padding:
      value === undefined || limit === undefined
        ? null
        : { low: Math.min(value, limit), high: Math.max(value, limit) },
    rescale: readRescale(dataSet) ?? { slope: 1, intercept: 0 },
    modalityLut: readModalityLut(dataSet, signed),
    window: readWindow(dataSet),
  };
}

/** Null where neither slope nor intercept is given. A slope of 0 would erase the image and counts as 1. */
export function readRescale(dataSet: DataSet): GreyHints["rescale"] | null {
  const slope = dataSet.decimal(TAG.slope);
  const intercept = dataSet.decimal(TAG.intercept);
  if (slope === undefined && intercept === undefined) return null;
  return { slope: slope === undefined || slope === 0 ? 1 : slope, intercept: intercept ?? 0 };
}

/** The first window, or null. */
export function readWindow(dataSet: DataSet): GreyHints["window"] {
  const center = dataSet.decimal(TAG.windowCenter);
  const width = dataSet.decimal(TAG.windowWidth);
  return center === undefined || width === undefined || width < 1 ? null : { center, width };
}
