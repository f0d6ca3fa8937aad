/** Random images of a cache for a person to look at, and the few technical facts that are shown beside them. */
import { encode } from "fast-png";
import type { CachedImages, CachedRecord } from "../dataset/cache.ts";
import { Random } from "../dataset/random.ts";
import { recordBytes } from "../dataset/types.ts";

/** Bars of a histogram. */
const BINS = 32;
/** Enough to tell two images apart, too little to look one up elsewhere. */
const KEY_DIGITS_SHOWN = 8;

export interface PreviewImage {
  /** The first digits of the image's HMAC. */
  readonly key: string;
  readonly facts: Pick<
    CachedRecord,
    "view" | "bodyPart" | "rows" | "columns" | "left" | "vendor" | "spacingUm"
  >;
  /** PNG as a data URL, exactly the cached pixels; channels beside each other, of a volume the middle slice. */
  readonly picture: string;
  /** Pixels of each of BINS equal steps of grey. */
  readonly histogram: readonly number[];
}

/** All images of one modality are made grey in the same way. */
export interface PreviewGroup {
  readonly modality: string;
  /** In the cache. */
  readonly total: number;
  readonly images: readonly PreviewImage[];
}

/**
 * @param count images of each modality, at most; the same seed gives the same ones
 * @throws cache.corrupt
 */
export function samplePreview(cache: CachedImages, count: number, seed: number): readonly PreviewGroup[] {
  const byModality = new Map<string, number[]>();
  for (const [index, { modality }] of cache.records.entries()) {
    const indices = byModality.get(modality);
    if (indices === undefined) byModality.set(modality, [index]);
    else indices.push(index);
  }
  return [...byModality]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([modality, indices], group) => {
      const order = new Random(seed, group).permutation(indices.length).subarray(0, count);
      // In the cache's order, so that the images of one patient or scanner lie together.
      const chosen = Array.from(order.sort(), (place) => indices[place] ?? 0);
      return { modality, total: indices.length, images: chosen.map((index) => previewImage(cache, index)) };
    });
}

function previewImage(cache: CachedImages, index: number): PreviewImage {
  const { sizePx, channels } = cache;
  const whole = new Uint8Array(recordBytes(cache));
  cache.read([index], whole);
  const data = middleSlices(whole, cache);
  const record = cache.records[index];
  if (record === undefined) throw new RangeError(`the cache has no image ${index}`);
  const png = encode({ width: channels * sizePx, height: sizePx, data, channels: 1, depth: 8 });
  const histogram = new Array<number>(BINS).fill(0);
  for (const grey of data) histogram[(grey * BINS) >> 8] = (histogram[(grey * BINS) >> 8] ?? 0) + 1;
  return {
    key: record.image.slice(0, KEY_DIGITS_SHOWN),
    facts: record,
    picture: `data:image/png;base64,${Buffer.from(png).toString("base64")}`,
    histogram,
  };
}

/** The middle slice of each channel, side by side. */
function middleSlices(record: Uint8Array, { sizePx, depthPx, channels }: CachedImages): Uint8Array {
  const picture = new Uint8Array(channels * sizePx ** 2);
  for (let channel = 0; channel < channels; channel++)
    for (let row = 0; row < sizePx; row++) {
      const from = ((channel * depthPx + (depthPx >> 1)) * sizePx + row) * sizePx;
      picture.set(record.subarray(from, from + sizePx), (row * channels + channel) * sizePx);
    }
  return picture;
}
