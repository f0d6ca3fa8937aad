/** The test images as each encoder sees them before it learns a label, laid on a plane. */
import type { LabelledImage } from "../dataset/labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { Engine } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { featureInference } from "./classifier.ts";
import type { NamedEncoder } from "./encoder.ts";
import { predictImages } from "./predict.ts";
import { principalPlane } from "./principal-plane.ts";
import type { FeatureMap } from "./types.ts";
import { inferenceBatch } from "./views.ts";

const INFERENCE_BATCH = 32;
/** More points than these hide each other. */
const MOST_IMAGES = 1200;

export interface FeatureMapTask {
  readonly engine: Engine;
  readonly config: VitConfig;
  readonly encoders: readonly NamedEncoder[];
  readonly train: { readonly cache: ImageCache };
  readonly test: { readonly cache: ImageCache } | null;
  /** Those that are tested. */
  readonly images: readonly LabelledImage[];
  /** Name of each image's group. */
  readonly groups: readonly string[];
}

/** One map an encoder, with its weights of the first seed. Of many images, some at even steps. */
export async function featureMaps({
  engine,
  config,
  encoders,
  train,
  test,
  images,
  groups,
}: FeatureMapTask): Promise<FeatureMap[]> {
  const { cache } = test ?? train;
  const every = Math.ceil(images.length / MOST_IMAGES);
  const places = images.flatMap((_, i) => (i % every === 0 ? [i] : []));
  const shown = places.flatMap((i) => images[i] ?? []);
  const batchSize = inferenceBatch(config, INFERENCE_BATCH);
  const options = { config, cached: cache, batchSize };
  const inference = await engine.compileInference(featureInference(options));
  try {
    const maps: FeatureMap[] = [];
    for (const { from, weightsFor } of encoders) {
      await inference.writeWeights(weightsFor(1));
      const predictor = { inference, config, batchSize };
      const features = await predictImages(predictor, "features", cache, shown);
      const { points, shares } = principalPlane(features, config.width);
      maps.push({
        from,
        shares,
        points: points.map((point, i) => ({ ...point, group: groups[places[i] ?? 0] ?? "" })),
      });
    }
    return maps;
  } finally {
    await inference.dispose();
  }
}
