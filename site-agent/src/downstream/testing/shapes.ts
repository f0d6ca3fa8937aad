/** A toy for masks and boxes: a bright rectangle and a dark one in a noisy image, where its mask and its box are known. */
import { GREY_IMAGES, inputProfileHash } from "@consilium/shared/input-profile";
import type { Box } from "../../dataset/boxes.ts";
import type { CachedImages, CachedRecord } from "../../dataset/cache.ts";
import { knownOf, type Known } from "../../dataset/known.ts";
import type { MaskSet } from "../../dataset/masks.ts";
import { Random } from "../../dataset/random.ts";

export interface ShapesOptions {
  readonly images: number;
  readonly sizePx: number;
  readonly seed: number;
}

export interface ToyShapes {
  readonly cache: CachedImages;
  readonly masks: MaskSet;
  readonly boxes: ReadonlyMap<string, readonly Box[]>;
  readonly known: Known;
}

export const SHAPE_CLASSES = ["bright", "dark"] as const;

/** Originals are twice as large as the cached squares. Two images a patient. */
export function toyShapes({ images, sizePx, seed }: ShapesOptions): ToyShapes {
  const random = new Random(seed);
  const places = sizePx ** 2;
  const records: CachedRecord[] = [];
  const pixels: Uint8Array[] = [];
  const masks = new Map<string, Uint8Array>();
  const boxes = new Map<string, Box[]>();
  for (let i = 0; i < images; i++) {
    const image = key(seed, 1, i);
    const picture = Uint8Array.from({ length: places }, () => 120 + 12 * random.normal());
    const mask = new Uint8Array(SHAPE_CLASSES.length * places);
    const own = SHAPE_CLASSES.map((label, c) => {
      // One on the left, one on the right, so that neither covers the other.
      const half = sizePx / 2;
      const width = Math.round(half * (0.45 + 0.3 * random.uniform()));
      const height = Math.round(half * (0.5 + 0.6 * random.uniform()));
      const x = Math.floor(c * half + (half - width) * random.uniform());
      const y = Math.floor((sizePx - height) * random.uniform());
      for (let row = y; row < y + height; row++) {
        for (let column = x; column < x + width; column++) {
          picture[row * sizePx + column] = (c === 0 ? 215 : 25) + 12 * random.normal();
          mask[c * places + row * sizePx + column] = 255;
        }
      }
      return { label, x: 2 * x, y: 2 * y, width: 2 * width, height: 2 * height };
    });
    records.push({
      image,
      patient: key(seed, 2, Math.floor(i / 2)),
      modality: "DX",
      view: null,
      bodyPart: null,
      rows: 2 * sizePx,
      columns: 2 * sizePx,
    });
    pixels.push(picture);
    masks.set(image, mask);
    boxes.set(image, own);
  }
  return {
    cache: {
      sizePx,
      depthPx: 1,
      channels: 1,
      profile: inputProfileHash(GREY_IMAGES),
      records,
      read(indices, out) {
        for (let i = 0; i < indices.length; i++) {
          out.set(pixels[indices[i] ?? -1] ?? new Uint8Array(), i * places);
        }
      },
      close: () => undefined,
    },
    masks: {
      classes: SHAPE_CLASSES,
      sizePx,
      depthPx: 1,
      images: new Set(masks.keys()),
      known: knownOf(
        [...masks.keys()].map((image) => [image, undefined]),
        SHAPE_CLASSES,
      ),
      read(image, out) {
        out.set(masks.get(image) ?? new Uint8Array());
      },
      close: () => undefined,
    },
    boxes,
    known: knownOf(
      [...boxes.keys()].map((image) => [image, undefined]),
      SHAPE_CLASSES,
    ),
  };
}

const key = (seed: number, kind: number, i: number): string =>
  [seed, kind, i].map((n) => n.toString(16).padStart(8, "0")).join("") + "0".repeat(8);
