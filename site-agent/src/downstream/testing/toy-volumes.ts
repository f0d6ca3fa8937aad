/** Toys of volumes: a bright ball in a noisy body, above or below its middle, whose mask is known. */
import { GREY_IMAGES, inputProfileHash } from "@consilium/shared/input-profile";
import type { CachedImages, CachedRecord } from "../../dataset/cache.ts";
import type { Labels } from "../../dataset/labels.ts";
import { knownOf } from "../../dataset/known.ts";
import type { MaskSet } from "../../dataset/masks.ts";
import { Random } from "../../dataset/random.ts";
import { recordBytes } from "../../dataset/types.ts";

export interface ToyVolumes {
  readonly cache: CachedImages;
  /** "upper" and "lower", by where the ball is. */
  readonly labels: Labels;
  /** Of the class "ball". */
  readonly masks: MaskSet;
}

export interface ToyVolumesOptions {
  readonly volumes: number;
  readonly sizePx: number;
  readonly depthPx: number;
  readonly seed: number;
}

/** One channel; two volumes a patient. */
export function toyVolumes({ volumes, sizePx, depthPx, seed }: ToyVolumesOptions): ToyVolumes {
  const random = new Random(seed);
  const shape = { sizePx, depthPx, channels: 1 };
  const labels = new Map<string, string>();
  const masks = new Map<string, Uint8Array>();
  const pixels: Uint8Array[] = [];
  const records: CachedRecord[] = [];
  for (let i = 0; i < volumes; i++) {
    const image = key(seed, 1, i);
    const isUpper = (i >> 1) % 2 === 0;
    const radius = sizePx * (0.2 + 0.08 * random.uniform());
    const middle = (share: number, length: number): number =>
      length * (share + 0.1 * (random.uniform() - 0.5));
    const [z, y, x] = [middle(isUpper ? 0.72 : 0.28, depthPx), middle(0.5, sizePx), middle(0.5, sizePx)];
    const own = new Uint8Array(recordBytes(shape));
    const mask = new Uint8Array(own.length);
    for (let voxel = 0; voxel < own.length; voxel++) {
      const up = ((Math.floor(voxel / sizePx ** 2) + 0.5 - z) * sizePx) / depthPx;
      const down = (Math.floor(voxel / sizePx) % sizePx) + 0.5 - y;
      const isInside = Math.hypot(up, down, (voxel % sizePx) + 0.5 - x) < radius;
      own[voxel] = Math.min(255, Math.max(0, (isInside ? 200 : 90) + 15 * random.normal()));
      if (isInside) mask[voxel] = 255;
    }
    pixels.push(own);
    masks.set(image, mask);
    labels.set(image, isUpper ? "upper" : "lower");
    records.push({
      image,
      patient: key(seed, 2, i >> 1),
      modality: "CT",
      view: null,
      bodyPart: null,
      rows: sizePx,
      columns: sizePx,
    });
  }
  return {
    labels,
    cache: {
      ...shape,
      profile: inputProfileHash(GREY_IMAGES),
      records,
      read(indices, out) {
        for (let i = 0; i < indices.length; i++)
          out.set(pixels[indices[i] ?? -1] ?? new Uint8Array(), i * recordBytes(shape));
      },
      close: () => undefined,
    },
    masks: {
      classes: ["ball"],
      sizePx,
      depthPx,
      images: new Set(masks.keys()),
      known: knownOf(
        [...masks.keys()].map((image) => [image, undefined]),
        ["ball"],
      ),
      read(image, out) {
        out.set(masks.get(image) ?? new Uint8Array());
      },
      close: () => undefined,
    },
  };
}

const key = (seed: number, kind: number, i: number): string =>
  [seed, kind, i].map((n) => n.toString(16).padStart(8, "0")).join("") + "0".repeat(8);
