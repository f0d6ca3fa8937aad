/** A compiled network over many cached images, batch by batch. */
import { concatenate } from "@consilium/shared/vector";
import { readImages } from "../dataset/batches.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { Inference } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { viewArrays, wholeImages, type ViewInputs } from "./views.ts";

export interface Predictor {
  readonly inference: Inference<ViewInputs>;
  readonly config: VitConfig;
  readonly batchSize: number;
}

/** One image's part of each output. */
export type ImageOutputs = Readonly<Record<string, Float32Array>>;

/**
 * Calls `onImage` for each image in turn, with its part of each output; nothing is kept, so outputs may be large. Images are
 * seen whole. The last batch is filled up with images from the start, whose outputs are dropped.
 */
export async function forEachImage(
  { inference, config, batchSize }: Predictor,
  cache: ImageCache,
  images: readonly LabelledImage[],
  onImage: (image: LabelledImage, outputs: ImageOutputs) => void,
): Promise<void> {
  const crops = wholeImages(cache, batchSize);
  for (let start = 0; start < images.length; start += batchSize) {
    const indices = Int32Array.from(
      { length: batchSize },
      (_, i) => images[(start + i) % images.length]?.index ?? 0,
    );
    const pixels = readImages(cache, indices, config.channels);
    const outputs = await inference.run(viewArrays(config, cache, pixels, crops));
    for (const [i, image] of images.slice(start, start + batchSize).entries()) {
      const own = Object.entries(outputs).map(([name, values]) => {
        const length = values.length / batchSize;
        return [name, values.slice(i * length, (i + 1) * length)] as const;
      });
      onImage(image, Object.fromEntries(own));
    }
  }
}

/** One output's rows for these images, in their order, [images.length, columns]. */
export async function predictImages(
  predictor: Predictor,
  output: string,
  cache: ImageCache,
  images: readonly LabelledImage[],
): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  await forEachImage(predictor, cache, images, (_, { [output]: row = new Float32Array() }) => rows.push(row));
  return concatenate(rows);
}
