/** A toy of two classes for tests: a bright band in the upper or in the lower half of a noisy image. */
import type { Labels } from "../../dataset/labels.ts";
import { Random } from "../../dataset/random.ts";
import type { ImageCache } from "../../dataset/types.ts";
import type { LabelledCache } from "../types.ts";

export interface ToyOptions {
  readonly images: number;
  readonly sizePx: number;
  readonly seed: number;
  readonly imagesPerPatient?: number;
}

export interface Toy {
  readonly records: readonly { image: string; patient: string; modality: string }[];
  readonly pixels: readonly Uint8Array[];
  readonly labels: Labels;
}

export function drawToy({ images, sizePx, seed, imagesPerPatient = 1 }: ToyOptions): Toy {
  const random = new Random(seed);
  const labels = new Map<string, string>();
  const records: Toy["records"][number][] = [];
  const pixels: Uint8Array[] = [];
  for (let i = 0; i < images; i++) {
    const patientNumber = Math.floor(i / imagesPerPatient);
    const image = key(seed, 1, i);
    const upper = patientNumber % 2 === 0;
    records.push({ image, patient: key(seed, 2, patientNumber), modality: "DX" });
    labels.set(image, upper ? "upper" : "lower");
    const band = Math.floor(sizePx * ((upper ? 0.15 : 0.65) + 0.1 * random.uniform()));
    pixels.push(
      Uint8Array.from({ length: sizePx * sizePx }, (_, at) => {
        const row = Math.floor(at / sizePx);
        const bright = row >= band && row < band + sizePx / 5 ? 90 : 0;
        return Math.min(255, Math.max(0, 70 + bright + 15 * random.normal()));
      }),
    );
  }
  return { records, pixels, labels };
}

/** The toy as a cache in memory. */
export function toyCache(options: ToyOptions): LabelledCache<ImageCache> {
  const { records, pixels, labels } = drawToy(options);
  const { sizePx } = options;
  return {
    labels,
    cache: {
      sizePx,
      depthPx: 1,
      channels: 1,
      records,
      read(indices, out) {
        for (let i = 0; i < indices.length; i++) {
          out.set(pixels[indices[i] ?? -1] ?? new Uint8Array(), i * sizePx ** 2);
        }
      },
      close: () => undefined,
    },
  };
}

const key = (seed: number, kind: number, i: number): string =>
  [seed, kind, i].map((n) => n.toString(16).padStart(8, "0")).join("") + "0".repeat(8);
