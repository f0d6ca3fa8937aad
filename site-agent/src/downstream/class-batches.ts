/** Batches of images with class labels. */
import { readImages } from "../dataset/batches.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import { balancedWeights } from "../dataset/taught-labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { InputArrays } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import type { ClassifierInputs } from "./classifier.ts";
import { classIndices } from "./cohort.ts";
import type { FinetuneSettings } from "./types.ts";
import { viewArrays, type ViewCrop } from "./views.ts";

export interface ClassBatches {
  readonly config: VitConfig;
  readonly cache: ImageCache;
  readonly images: readonly LabelledImage[];
  readonly classes: readonly string[];
  readonly settings: Pick<FinetuneSettings, "balanceClasses" | "labelSmoothing">;
}

/** What `fit` takes: the classifier's inputs for places among the images. */
export function classBatches({
  config,
  cache,
  images,
  classes,
  settings,
}: ClassBatches): (places: Int32Array, crops: readonly ViewCrop[]) => InputArrays<ClassifierInputs> {
  const truth = classIndices(images, classes);
  const weights = settings.balanceClasses ? balancedWeights(truth) : new Float32Array(truth.length).fill(1);
  return (places, crops) => {
    const indices = places.map((i) => images[i]?.index ?? 0);
    return {
      ...viewArrays(config, cache, readImages(cache, indices, config.channels), crops),
      targets: softTargets(
        places.map((i) => truth[i] ?? 0),
        classes.length,
        settings.labelSmoothing,
      ),
      weights: Float32Array.from(places, (i) => weights[i] ?? 1),
    };
  };
}

/** [N, classes]: 1 at the true class, less what smoothing spreads evenly over all (Szegedy et al. 2016, section 7). */
export function softTargets(truth: Int32Array, classes: number, smoothing: number): Float32Array {
  const targets = new Float32Array(truth.length * classes).fill(smoothing / classes);
  truth.forEach((c, i) => {
    targets[i * classes + c] = 1 - smoothing + smoothing / classes;
  });
  return targets;
}
