/** The order in which a local epoch goes over the cache. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Random } from "./random.ts";
import { recordBytes, type ImageCache } from "./types.ts";

/**
 * Whole batches of one epoch: the last incomplete one is dropped, as shapes are static. A set smaller than a batch
 * still makes one.
 */
export function stepsPerEpoch(images: number, batchSize: number): number {
  return Math.max(1, Math.floor(images / batchSize));
}

/**
 * Indices of each batch, shuffled. No image comes twice, unless there are fewer than a batch holds: then they wrap around.
 * @param images at least 1
 */
export function* epochBatches(
  images: number,
  batchSize: number,
  random: Random,
): Generator<Int32Array, void> {
  const order = random.permutation(images);
  for (let step = 0; step < stepsPerEpoch(images, batchSize); step++) {
    yield Int32Array.from({ length: batchSize }, (_, i) => order[(step * batchSize + i) % images] ?? 0);
  }
}

/**
 * Reads images, or volumes, as the model takes them: channels last.
 * @returns uint8 [indices.length, depthPx, sizePx, sizePx, channels]; a single cached channel repeats in every one
 * @throws cache.wrong-size for any other number of cached channels than the model's
 */
export function readImages(cache: ImageCache, indices: ArrayLike<number>, channels: number): Uint8Array {
  if (cache.channels !== channels && cache.channels !== 1) {
    throw new ConsiliumError("cache.wrong-size", {
      detail: `(${cache.channels} channels instead of ${channels})`,
    });
  }
  const stored = new Uint8Array(indices.length * recordBytes(cache));
  cache.read(indices, stored);
  if (channels === 1) return stored;
  const pixels = cache.depthPx * cache.sizePx ** 2;
  const images = new Uint8Array(indices.length * pixels * channels);
  for (let at = 0; at < images.length; at++) {
    const channel = cache.channels === 1 ? 0 : at % channels;
    const pixel = Math.floor(at / channels);
    const image = Math.floor(pixel / pixels);
    images[at] = stored[(image * cache.channels + channel) * pixels + (pixel % pixels)] ?? 0;
  }
  return images;
}
