/**
 * Stored values to grey: 0 is air and 255 is bone, whatever the vendor. Order: colour becomes luminance, padding is
 * masked, the modality's table or rescale applies, the profile sets the range, MONOCHROME1 is turned around.
 *
 * All of this depends on a pixel's value alone, so it is worked out once per value and not once per pixel.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { ChannelRanges, GreyRange } from "@consilium/shared/input-profile";
import type { StoredImage, StoredValues } from "./decode/stored-image.ts";
import type { GreyHints } from "./header/grey-hints.ts";
import type { LookupTable } from "./header/lookup-table.ts";
import type { GreyImage } from "./resize.ts";

/** Where a header names no window. Shares of the pixels. */
export const PERCENTILES = { low: 0.005, high: 0.995 } as const;

/** Beyond this many different values (32-bit images) neighbours share a level. */
const MAX_LEVELS = 65_536;

/**
 * @param ranges the plan's for this modality, one for each channel
 * @returns for each channel rows x columns values in 0 .. 255, not rounded, so that resampling rounds once; masked pixels
 * are 0. Channels of one range are one object.
 * @throws dicom.flat if no channel has contrast
 */
export function toGrey(
  image: StoredImage,
  imageHints: GreyHints,
  ranges: ChannelRanges,
): readonly GreyImage[] {
  const { rows, columns, photometric } = image;
  // Padding, rescale and window are defined for single-sample images only (PS3.3 C.7.5.1.1.2, C.11).
  const hints = image.samples === 1 ? imageHints : colourHints(imageHints);
  const levels = countLevels(image.samples === 1 ? image.values : luminance(image));
  const outputs = rescaledLevels(levels, hints);
  const channels = distinct(ranges, (range) => {
    const [low, high] = outputRange(levels, outputs, range, hints);
    const table = greyTable(outputs, low, high, photometric === "MONOCHROME1");
    return { hasContrast: hasContrast(levels, outputs, table), values: paint(levels, table) };
  });
  if (!channels.some((channel) => channel.hasContrast)) throw new ConsiliumError("dicom.flat");
  return channels.map(({ values }) => ({ rows, columns, values }));
}

/** Makes each different range's channel once. */
export function distinct<T>(ranges: ChannelRanges, make: (range: GreyRange) => T): readonly T[] {
  const made = new Map<string, T>();
  return ranges.map((range) => {
    const name = JSON.stringify(range);
    const known = made.get(name);
    if (known !== undefined) return known;
    const channel = make(range);
    made.set(name, channel);
    return channel;
  });
}

/**
 * The values of an image of one sample a pixel in the modality's units (HU for CT), before any window; padding becomes the
 * least of them, as if nothing were there.
 */
export function rescale(image: StoredImage, hints: GreyHints): Float32Array {
  const levels = countLevels(image.values);
  const outputs = rescaledLevels(levels, hints);
  let least = Infinity;
  for (let level = 0; level < outputs.length; level++)
    if ((levels.counts[level] ?? 0) > 0 && (outputs[level] ?? NaN) < least) least = outputs[level] ?? least;
  const lowest = Number.isFinite(least) ? least : 0;
  return paint(
    levels,
    Float32Array.from(outputs, (output) => (Number.isNaN(output) ? lowest : output)),
  );
}

/** Every pixel's value in the table. */
function paint({ values, least, step }: Levels, table: Float32Array): Float32Array {
  const painted = new Float32Array(values.length);
  for (let i = 0; i < painted.length; i++) painted[i] = table[levelOf(values[i] ?? 0, least, step)] ?? 0;
  return painted;
}

function colourHints({ modality }: GreyHints): GreyHints {
  return { modality, padding: null, rescale: { slope: 1, intercept: 0 }, modalityLut: null, window: null };
}

/** Steps of luminance per stored step: rounding costs less than the last bit of the result. */
const LUMINANCE_STEPS = 8;

/** ITU-R BT.601, by which YBR_FULL is defined (PS3.3 C.7.6.3.1.2); of YBR_FULL it is the first sample as it stands. */
function luminance({ values, photometric }: StoredImage): StoredValues {
  const grey = new Int32Array(values.length / 3);
  const isYbr = photometric === "YBR_FULL";
  for (let i = 0; i < grey.length; i++) {
    const first = values[i * 3] ?? 0;
    grey[i] = isYbr
      ? first
      : Math.round(
          LUMINANCE_STEPS *
            (0.299 * first + 0.587 * (values[i * 3 + 1] ?? 0) + 0.114 * (values[i * 3 + 2] ?? 0)),
        );
  }
  return grey;
}

/** The different values of an image, ascending, and how many pixels have each. Level i stands for least + i * step. */
interface Levels {
  readonly values: StoredValues;
  readonly least: number;
  readonly step: number;
  readonly counts: Uint32Array;
}

function countLevels(values: StoredValues): Levels {
  let least = values[0] ?? 0;
  let most = least;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const span = most - least;
  const step = span < MAX_LEVELS ? 1 : span / (MAX_LEVELS - 1);
  const counts = new Uint32Array(Math.floor(span / step) + 1);
  for (let i = 0; i < values.length; i++) {
    const level = levelOf(values[i] ?? 0, least, step);
    counts[level] = (counts[level] ?? 0) + 1;
  }
  return { values, least, step, counts };
}

/** Without the division where every value has a level of its own. */
function levelOf(value: number, least: number, step: number): number {
  return step === 1 ? value - least : Math.floor((value - least) / step);
}

/** Each level in rescaled units, or NaN where it is padding. */
function rescaledLevels({ least, step, counts }: Levels, hints: GreyHints): Float64Array {
  const { padding, rescale, modalityLut } = hints;
  const outputs = new Float64Array(counts.length);
  for (let level = 0; level < outputs.length; level++) {
    const stored = least + level * step;
    const isPadding = padding !== null && stored >= padding.low && stored <= padding.high;
    const output =
      modalityLut === null ? stored * rescale.slope + rescale.intercept : lookUp(modalityLut, stored);
    outputs[level] = isPadding ? NaN : output;
  }
  return outputs;
}

function lookUp({ first, values }: LookupTable, stored: number): number {
  const at = Math.min(values.length - 1, Math.max(0, Math.round(stored) - first));
  return values[at] ?? 0;
}

/** The rescaled values that become 0 and 255. */
function outputRange(
  levels: Levels,
  outputs: Float64Array,
  wanted: GreyRange,
  hints: GreyHints,
): readonly [number, number] {
  const window = wanted.range === "window" ? wanted : wanted.range === "header" ? hints.window : null;
  if (window !== null) return windowRange(window);
  const { low, high } = wanted.range === "percentile" ? wanted : PERCENTILES;
  const ranked = rank(levels, outputs);
  const range = [quantile(ranked, low), quantile(ranked, high)] as const;
  // A few bright pixels on black: the percentiles see none of them.
  return range[1] > range[0] ? range : [quantile(ranked, 0), quantile(ranked, 1)];
}

/** PS3.3 C.11.2.1.2.1: from center - 0.5 - (width - 1) / 2 to center - 0.5 + (width - 1) / 2. */
export function windowRange({ center, width }: NonNullable<GreyHints["window"]>): readonly [number, number] {
  const half = Math.max(0.5, (width - 1) / 2);
  return [center - 0.5 - half, center - 0.5 + half];
}

/** Rescaled values that occur, ascending, and how many pixels have at most each. */
interface Ranked {
  readonly outputs: readonly number[];
  readonly upTo: readonly number[];
}

function rank({ counts }: Levels, outputs: Float64Array): Ranked {
  const present: number[] = [];
  for (let level = 0; level < counts.length; level++)
    if ((counts[level] ?? 0) > 0 && !Number.isNaN(outputs[level])) present.push(level);
  if (present.length === 0) throw new ConsiliumError("dicom.flat");
  present.sort((a, b) => (outputs[a] ?? 0) - (outputs[b] ?? 0));
  let sum = 0;
  return {
    outputs: present.map((level) => outputs[level] ?? 0),
    upTo: present.map((level) => (sum += counts[level] ?? 0)),
  };
}

/** Linear between the two nearest pixels in order of value, as NumPy does by default. */
function quantile({ outputs, upTo }: Ranked, share: number): number {
  const position = share * ((upTo.at(-1) ?? 1) - 1);
  const at = (place: number): number => outputs[upTo.findIndex((end) => end > place)] ?? 0;
  const below = at(Math.floor(position));
  return below + (at(Math.ceil(position)) - below) * (position - Math.floor(position));
}

/** Grey of each level; padding is black. */
function greyTable(outputs: Float64Array, low: number, high: number, inverted: boolean): Float32Array {
  const table = new Float32Array(outputs.length);
  for (let level = 0; level < table.length; level++) {
    const output = outputs[level] ?? NaN;
    if (Number.isNaN(output)) continue;
    const share = high > low ? Math.min(1, Math.max(0, (output - low) / (high - low))) : 0;
    table[level] = 255 * (inverted ? 1 - share : share);
  }
  return table;
}

/** Whether two pixels that count differ in grey. */
function hasContrast({ counts }: Levels, outputs: Float64Array, table: Float32Array): boolean {
  let seen: number | undefined;
  for (let level = 0; level < counts.length; level++) {
    if (counts[level] === 0 || Number.isNaN(outputs[level])) continue;
    if (seen !== undefined && table[level] !== seen) return true;
    seen ??= table[level];
  }
  return false;
}
