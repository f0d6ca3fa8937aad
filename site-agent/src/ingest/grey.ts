/**
 * Stored values to grey: 0 is air and 255 is bone, whatever the vendor. Order: padding is masked, colour becomes
 * luminance, the modality's rescale applies, the profile's window is set, MONOCHROME1 is turned around.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { StoredImage } from "./decode.ts";
import type { GreyHints, LookupTable } from "./header.ts";
import type { GreyImage } from "./resize.ts";

/** How the range that becomes 0 .. 255 is found. */
export type GreyProfile =
  /** From the image itself: vendors' windows differ from site to site. */
  | { readonly range: "percentile"; readonly low: number; readonly high: number }
  /** Fixed, in rescaled units (HU for CT). */
  | { readonly range: "window"; readonly center: number; readonly width: number }
  /** The header's window, or the percentiles where it names none. */
  | { readonly range: "header" };

const PERCENTILES = { range: "percentile", low: 0.005, high: 0.995 } as const;

const PROFILES: ReadonlyMap<string, GreyProfile> = new Map<string, GreyProfile>([
  ["CR", PERCENTILES],
  ["DX", PERCENTILES],
  ["MG", PERCENTILES],
  ["MR", PERCENTILES],
  // One channel for now: the lung window.
  ["CT", { range: "window", center: -600, width: 1500 }],
]);

export function greyProfile(modality: string): GreyProfile {
  return PROFILES.get(modality) ?? { range: "header" };
}

/**
 * @returns rows x columns values in 0 .. 255, not rounded, so that resampling rounds once; masked pixels are 0
 * @throws dicom.flat if there is no contrast
 */
export function toGrey(image: StoredImage, hints: GreyHints): GreyImage {
  const { rows, columns, photometric } = image;
  const stored = monochrome(image);
  const isMasked = maskOf(hints.padding);
  const values = hints.modalityLut === null ? stored : lookedUp(stored, hints.modalityLut);
  const { slope, intercept } = hints.modalityLut === null ? hints.rescale : { slope: 1, intercept: 0 };
  const [low, high] = storedRange(values, stored, isMasked, hints, slope, intercept);
  if (!(high > low)) throw new ConsiliumError("dicom.flat");

  // A negative slope turns the image around, and so does MONOCHROME1; both together do not.
  const inverted = slope < 0 !== (photometric === "MONOCHROME1");
  const scale = 255 / (high - low);
  const grey = new Float32Array(rows * columns);
  let least = 255;
  let most = 0;
  for (let i = 0; i < grey.length; i++) {
    if (isMasked?.(stored[i] ?? 0) === true) continue;
    const level = ((values[i] ?? 0) - low) * scale;
    const clamped = level < 0 ? 0 : level > 255 ? 255 : level;
    const value = inverted ? 255 - clamped : clamped;
    grey[i] = value;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (!(most > least)) throw new ConsiliumError("dicom.flat");
  return { rows, columns, values: grey };
}

type Values = Exclude<ArrayLike<number>, string>;

/** Luminance of colour images (ITU-R BT.601, which YBR_FULL is defined by: PS3.3 C.7.6.3.1.2). */
function monochrome({ values, samples, photometric }: StoredImage): Values {
  if (samples === 1) return values;
  const grey = new Float32Array(values.length / 3);
  for (let i = 0; i < grey.length; i++) {
    const at = i * 3;
    grey[i] =
      photometric === "YBR_FULL"
        ? (values[at] ?? 0)
        : 0.299 * (values[at] ?? 0) + 0.587 * (values[at + 1] ?? 0) + 0.114 * (values[at + 2] ?? 0);
  }
  return grey;
}

function maskOf(padding: GreyHints["padding"]): ((stored: number) => boolean) | null {
  if (padding === null) return null;
  const { low, high } = padding;
  return (stored) => stored >= low && stored <= high;
}

function lookedUp(stored: Values, { first, values }: LookupTable): Values {
  const out = new Uint16Array(stored.length);
  const last = values.length - 1;
  for (let i = 0; i < out.length; i++) {
    const at = Math.round(stored[i] ?? 0) - first;
    out[i] = values[at < 0 ? 0 : at > last ? last : at] ?? 0;
  }
  return out;
}

/** The values that become 0 and 255, before rescaling: rescaling is linear, so the range is brought to the values. */
function storedRange(
  values: Values,
  stored: Values,
  isMasked: ((stored: number) => boolean) | null,
  hints: GreyHints,
  slope: number,
  intercept: number,
): readonly [number, number] {
  const profile = greyProfile(hints.modality);
  const window = profile.range === "window" ? profile : profile.range === "header" ? hints.window : null;
  if (window !== null) {
    // PS3.3 C.11.2.1.2: center and width span center - 0.5 -+ (width - 1) / 2.
    const ends = [-1, 1].map(
      (side) => (window.center - 0.5 + (side * (window.width - 1)) / 2 - intercept) / slope,
    );
    return [Math.min(...ends), Math.max(...ends)];
  }
  const { low, high } = profile.range === "percentile" ? profile : PERCENTILES;
  const sorted = sortedUnmasked(values, stored, isMasked);
  if (sorted.length === 0) throw new ConsiliumError("dicom.flat");
  const range = [quantile(sorted, low), quantile(sorted, high)] as const;
  // A few bright pixels on black: the percentiles see none of them.
  return range[1] > range[0] ? range : [sorted[0] ?? 0, sorted[sorted.length - 1] ?? 0];
}

function sortedUnmasked(
  values: Values,
  stored: Values,
  isMasked: ((stored: number) => boolean) | null,
): Float32Array {
  const kept = new Float32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (isMasked?.(stored[i] ?? 0) === true) continue;
    kept[count++] = values[i] ?? 0;
  }
  return kept.subarray(0, count).sort();
}

/** Linear between the two nearest of the sorted values. */
function quantile(sorted: Float32Array, share: number): number {
  const rank = share * (sorted.length - 1);
  const below = sorted[Math.floor(rank)] ?? 0;
  const above = sorted[Math.ceil(rank)] ?? 0;
  return below + (above - below) * (rank - Math.floor(rank));
}
