/** Where a distorted image's pixels come from, and which are painted over (Models Genesis, Zhou et al. 2021, section 3.1). */
import type { Random } from "../dataset/random.ts";

/** What the network sees: a square, or a stack of them. */
export interface PixelBox {
  readonly sizePx: number;
  readonly depthPx: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Slices, rows, columns. */
type Window = readonly [Range, Range, Range];

/** Sides of a shuffled window, as a share of the image's: too small to hide what is there. */
const SHUFFLED_SIDE = 1 / 10;
/** How often all of the image would be covered if windows of mean size did not overlap. */
const SHUFFLED_COVER = 2;
const MOST_WINDOWS = 5;
/** A further window is drawn so often. */
const FURTHER = 0.95;
const INSIDE = { least: 1 / 6, most: 1 / 3 };
const OUTSIDE = { least: 3 / 7, most: 4 / 7 };

/**
 * For each pixel the one from which it takes its value: itself, or another of the same small window.
 * @returns int32 [depthPx * sizePx * sizePx]
 */
export function shuffledPixels(box: PixelBox, isShuffled: boolean, random: Random): Int32Array {
  const { sizePx, depthPx } = box;
  const order = Int32Array.from({ length: depthPx * sizePx ** 2 }, (_, i) => i);
  if (!isShuffled) return order;
  const most = (length: number): number => Math.min(length, Math.max(2, Math.round(length * SHUFFLED_SIDE)));
  let left = SHUFFLED_COVER * order.length;
  while (left > 0) {
    const sides = [most(depthPx), most(sizePx), most(sizePx)].map((side) => 1 + random.below(side));
    const pixels = [...pixelsOf(windowOf(box, sides, random), box)];
    const values = pixels.map((pixel) => order[pixel] ?? 0);
    for (const [i, from] of random.permutation(pixels.length).entries()) {
      order[pixels[i] ?? 0] = values[from] ?? 0;
    }
    left -= pixels.length;
  }
  return order;
}

/**
 * @param where `inside`: some windows are painted over; `outside`: all but some windows
 * @returns uint8 [depthPx * sizePx * sizePx], 1 where painted
 */
export function paintedPixels(box: PixelBox, where: "inside" | "outside", random: Random): Uint8Array {
  const { sizePx, depthPx } = box;
  const { least, most } = where === "inside" ? INSIDE : OUTSIDE;
  const side = (length: number): number =>
    Math.max(1, Math.round(length * (least + (most - least) * random.uniform())));
  const painted = new Uint8Array(depthPx * sizePx ** 2).fill(where === "inside" ? 0 : 1);
  for (let windows = 0; windows < MOST_WINDOWS; windows++) {
    if (windows > 0 && random.uniform() >= FURTHER) break;
    const window = windowOf(box, [side(depthPx), side(sizePx), side(sizePx)], random);
    for (const pixel of pixelsOf(window, box)) painted[pixel] = where === "inside" ? 1 : 0;
  }
  return painted;
}

function windowOf({ sizePx, depthPx }: PixelBox, sides: readonly number[], random: Random): Window {
  const place = (length: number, side = 1): Range => {
    const from = random.below(length - side + 1);
    return { from, to: from + side };
  };
  const [deep, high, wide] = sides;
  return [place(depthPx, deep), place(sizePx, high), place(sizePx, wide)];
}

function* pixelsOf([slices, rows, columns]: Window, { sizePx }: PixelBox): Generator<number, void> {
  for (let z = slices.from; z < slices.to; z++) {
    for (let y = rows.from; y < rows.to; y++) {
      for (let x = columns.from; x < columns.to; x++) yield (z * sizePx + y) * sizePx + x;
    }
  }
}
