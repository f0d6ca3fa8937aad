/** A compiled network over many cached images, batch by batch. */
import { concatenate } from "@consilium/shared/vector";
import { readImages } from "../dataset/batches.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { Inference } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { viewArrays, wholeImages, type ViewInputs } from "./classifier.ts";

export interface Predictor {
  readonly inference: Inference<ViewInputs>;
  /** Output to collect. */
  readonly output: string;
  readonly config: VitConfig;
  readonly batchSize: number;
}

/**
 * The output's rows for these images, in their order, [images.length, columns]. Images are seen whole. The last batch is
 * filled up with images from the start, whose rows are dropped.
 */
export async function predictImages(
  { inference, output, config, batchSize }: Predictor,
  cache: ImageCache,
  images: readonly LabelledImage[],
): Promise<Float32Array> {
  const crops = wholeImages(cache.sizePx, batchSize);
  const parts: Float32Array[] = [];
  for (let start = 0; start < images.length; start += batchSize) {
    const indices = Int32Array.from(
      { length: batchSize },
      (_, i) => images[(start + i) % images.length]?.index ?? 0,
    );
    const pixels = readImages(cache, indices, config.channels);
    const { [output]: rows = new Float32Array() } = await inference.run(
      viewArrays(config, cache.sizePx, pixels, crops),
    );
    const columns = rows.length / batchSize;
    parts.push(rows.slice(0, Math.min(batchSize, images.length - start) * columns));
  }
  return concatenate(parts);
}
