/** A plan and images small enough for tests: bright blobs on a slope, which a model learns within seconds. */
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { Random } from "../../dataset/random.ts";
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import { cacheLayout, type CachedRecord } from "../../dataset/cache-format.ts";
import { CacheWriter } from "../../dataset/cache-writer.ts";
import type { CachedImages } from "../../dataset/cache.ts";

export const TOY_CACHE_PX = 20;

/** @param training replaces parts of the plan's `training` */
export function toyPlan(training: object = {}, rounds = 3): Plan {
  return parsePlan({
    federation: "toy",
    title: "Toy",
    rounds,
    cachePx: TOY_CACHE_PX,
    model: { imagePx: 16, patchPx: 4 },
    pretext: { task: "mae", maskRatio: 0.5, decoder: { width: 32, depth: 1, heads: 2 }, cropMinArea: 0.8 },
    training: { batchSize: 8, warmupRounds: 0, ...training },
    aggregation: { examplesCap: 256 },
    // Compiles two more graphs; what is about them switches it on.
    health: null,
  });
}

/** uint8 [count, sizePx, sizePx] */
export function toyImages(count: number, sizePx = TOY_CACHE_PX): Uint8Array {
  const images = new Uint8Array(count * sizePx ** 2);
  for (let image = 0; image < count; image++) {
    const random = new Random(image);
    const [x, y, slope] = [random.uniform() * sizePx, random.uniform() * sizePx, random.uniform()];
    for (let i = 0; i < sizePx ** 2; i++) {
      const distance = Math.hypot((i % sizePx) - x, Math.floor(i / sizePx) - y) / sizePx;
      const value = 150 * Math.exp(-12 * distance ** 2) + (100 * slope * (i % sizePx)) / sizePx;
      images[image * sizePx ** 2 + i] = Math.round(value);
    }
  }
  return images;
}

/** Blobs in space, a second one in the second channel: uint8 [count, slices, rows, columns, channels], as cached. */
export function toyVolumes(count: number, { cachePx, volume, model }: Plan): Uint8Array {
  const depthPx = volume?.depthPx ?? 1;
  const { channels } = model;
  const stride = depthPx * cachePx ** 2 * channels;
  return Uint8Array.from({ length: count * stride }, (_, at) => {
    const channel = at % channels;
    const pixel = Math.floor((at % stride) / channels);
    const random = new Random(Math.floor(at / stride), channel);
    const place = [pixel % cachePx, Math.floor(pixel / cachePx) % cachePx, Math.floor(pixel / cachePx ** 2)];
    const sides = [cachePx, cachePx, depthPx];
    const distance = Math.hypot(...place.map((x, axis) => x / (sides[axis] ?? 1) - random.uniform()));
    return Math.round(40 + 200 * Math.exp(-12 * distance ** 2));
  });
}

export function toyCache(count: number, sizePx = TOY_CACHE_PX): CachedImages {
  const images = toyImages(count, sizePx);
  const stride = sizePx ** 2;
  return {
    ...cacheLayout(GREY_IMAGES, sizePx),
    records: Array.from({ length: count }, (_, i) => toyRecord(i)),
    read: (indices, out) => {
      for (let i = 0; i < indices.length; i++) {
        const from = (indices[i] ?? 0) * stride;
        out.set(images.subarray(from, from + stride), i * stride);
      }
    },
    close: () => undefined,
  };
}

export const toyRecord = (i: number): CachedRecord => ({
  image: i.toString(16).padStart(32, "0"),
  patient: i.toString(16).padStart(32, "0"),
  modality: "DX",
  view: null,
  bodyPart: null,
  rows: 20,
  columns: 20,
});

/** The same images as a cache on disk. */
export async function writeToyCache(folder: string, count: number): Promise<void> {
  const writer = await CacheWriter.open(folder, TOY_CACHE_PX);
  const images = toyImages(count);
  const stride = TOY_CACHE_PX ** 2;
  for (let i = 0; i < count; i++) {
    await writer.append(toyRecord(i), images.subarray(i * stride, (i + 1) * stride));
  }
  await writer.commit();
  await writer.close();
}

/** Quicker than comparing a million numbers one by one. */
export function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  return bytes(a).equals(bytes(b));
}
