/** Training of the whole classifier on a few labels, with a compiled step whose weights are set already. */
import { epochBatches, readImages } from "../dataset/batches.ts";
import { randomCrop } from "../dataset/crops.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import { Random } from "../dataset/random.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { TrainStep } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { learningRateAt } from "../training/schedule.ts";
import { viewArrays, type ClassifierInputs } from "./classifier.ts";
import { classIndices } from "./cohort.ts";
import type { FinetuneSettings } from "./types.ts";

export interface FitTask {
  readonly step: TrainStep<ClassifierInputs>;
  readonly config: VitConfig;
  readonly cache: ImageCache;
  readonly images: readonly LabelledImage[];
  readonly classes: readonly string[];
  readonly settings: FinetuneSettings;
  readonly seed: number;
}

/** Steps for a number of labels. */
export function fitSteps(
  images: number,
  {
    epochs,
    usualEpochs,
    batchSize,
    minSteps,
    maxSteps,
  }: Pick<FinetuneSettings, "epochs" | "usualEpochs" | "batchSize" | "minSteps" | "maxSteps">,
): number {
  const steps = Math.ceil(((epochs ?? usualEpochs) * images) / batchSize);
  return epochs === null ? Math.min(maxSteps, Math.max(minSteps, steps)) : steps;
}

/**
 * Trains to the end of the schedule; nothing is looked at but the training loss.
 * @returns the loss of each step
 * @throws training.diverged, engine.run-failed; whatever `onStep` throws, which is how to stop it
 */
export async function fit(
  { step, config, cache, images, classes, settings, seed }: FitTask,
  onStep: (step: number, loss: number) => Promise<void>,
): Promise<number[]> {
  const steps = fitSteps(images.length, settings);
  const schedule = {
    learningRate: settings.learningRate,
    warmupRounds: settings.warmup * steps,
    rounds: steps,
  };
  const truth = classIndices(images, classes);
  const weights = settings.balanceClasses ? balancedWeights(truth) : new Float32Array(truth.length).fill(1);
  const random = new Random(seed, 0xf17);
  const losses: number[] = [];
  while (losses.length < steps) {
    for (const batch of epochBatches(images.length, settings.batchSize, random)) {
      if (losses.length === steps) break;
      const indices = batch.map((i) => images[i]?.index ?? 0);
      const crops = Array.from(batch, () => randomCrop(cache.sizePx, settings, random));
      const { loss } = await step.run(
        {
          ...viewArrays(config, cache.sizePx, readImages(cache, indices, config.channels), crops),
          targets: softTargets(
            batch.map((i) => truth[i] ?? 0),
            classes.length,
            settings.labelSmoothing,
          ),
          weights: Float32Array.from(batch, (i) => weights[i] ?? 1),
        },
        learningRateAt(schedule, losses.length + 1, 0.5),
      );
      losses.push(loss);
      await onStep(losses.length, loss);
    }
  }
  return losses;
}

/** Inverse to how common an image's class is; mean 1. */
export function balancedWeights(truth: Int32Array): Float32Array {
  const counts = new Map<number, number>();
  for (const c of truth) counts.set(c, (counts.get(c) ?? 0) + 1);
  return Float32Array.from(truth, (c) => truth.length / (counts.size * (counts.get(c) ?? 1)));
}

/** [N, classes]: 1 at the true class, less what smoothing spreads evenly over all (Szegedy et al. 2016, section 7). */
function softTargets(truth: Int32Array, classes: number, smoothing: number): Float32Array {
  const targets = new Float32Array(truth.length * classes).fill(smoothing / classes);
  truth.forEach((c, i) => {
    targets[i * classes + c] = 1 - smoothing + smoothing / classes;
  });
  return targets;
}
