/** The order in which a local epoch goes over the cache. */
import type { Random } from "./random.ts";
import type { ImageCache } from "./types.ts";

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
 * Reads images as the model takes them.
 * @returns uint8 [indices.length, sizePx, sizePx, channels]; grey repeats in every channel
 */
export function readImages(cache: ImageCache, indices: ArrayLike<number>, channels: number): Uint8Array {
  const grey = new Uint8Array(indices.length * cache.sizePx ** 2);
  cache.read(indices, grey);
  if (channels === 1) return grey;
  const images = new Uint8Array(grey.length * channels);
  for (const [pixel, value] of grey.entries()) images.fill(value, pixel * channels, (pixel + 1) * channels);
  return images;
}
