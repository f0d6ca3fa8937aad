/**
 * The images that a plan trains on: all of a cache, or, where it learns from labels, those that have one of its classes and
 * are not kept to test on.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { openImageCache, type CachedImages } from "./cache.ts";
import { labelledImages, readLabels, type LabelledImage, type Labels } from "./labels.ts";
import { splitByPatient, TEST_SPLIT_SEED } from "./splits.ts";
import type { ImageCache, ImageRecord } from "./types.ts";

/** What the images of a batch show. */
export interface Answers {
  /** Place of each image's class among the plan's. */
  readonly classes: Int32Array;
  /** Weight of each image's loss; their mean over all that are trained on is 1. */
  readonly weights: Float32Array;
}

export interface TrainingImages extends ImageCache {
  /** Where the plan learns from labels. */
  readonly answers?: (indices: ArrayLike<number>) => Answers;
}

type Taught = Extract<Plan["pretext"], { readonly task: "classify" }>;

/** By patient, as finetune splits at the same share: whom it tests on nobody has trained on. */
export function labelledParts(
  { records }: Pick<ImageCache, "records">,
  labels: Labels,
  { classes, testShare }: Pick<Taught, "classes" | "testShare">,
): { readonly taught: readonly LabelledImage[]; readonly tested: readonly LabelledImage[] } {
  const usable = labelledImages(records, labels).filter(({ label }) => classes.includes(label));
  return splitByPatient(usable, { taught: 1 - testShare, tested: testShare }, TEST_SPLIT_SEED);
}

/**
 * The cache itself, or a view of it with other places.
 * @throws labels.not-of-plan if the plan learns from labels and none is left to train on
 */
export function trainingImages<Cache extends ImageCache>(
  cache: Cache,
  { pretext }: Pick<Plan, "pretext">,
  labels: Labels,
): Cache & TrainingImages {
  if (pretext.task !== "classify") return cache;
  const { taught } = labelledParts(cache, labels, pretext);
  if (taught.length === 0) throw new ConsiliumError("labels.not-of-plan", { culprits: ["labels"] });
  const truth = Int32Array.from(taught, ({ label }) => pretext.classes.indexOf(label));
  const weights = pretext.balanceClasses ? balancedWeights(truth) : new Float32Array(truth.length).fill(1);
  const places = Int32Array.from(taught, ({ index }) => index);
  const records = taught.flatMap(({ index }): ImageRecord[] => cache.records.slice(index, index + 1));
  return {
    ...cache,
    records,
    read: (indices, out) => {
      cache.read(
        Array.from(indices, (i) => places[i] ?? NaN),
        out,
      );
    },
    answers: (indices) => ({
      classes: Int32Array.from(indices, (i) => truth[i] ?? NaN),
      weights: Float32Array.from(indices, (i) => weights[i] ?? NaN),
    }),
  };
}

/** With the labels that lie beside the cache. @throws labels.not-of-plan, cache.corrupt */
export async function readTrainingImages<Cache extends ImageCache>(
  cache: Cache,
  dir: string,
  plan: Pick<Plan, "pretext">,
): Promise<Cache & TrainingImages> {
  return plan.pretext.task === "classify" ? trainingImages(cache, plan, await readLabels(dir)) : cache;
}

/** @throws training.no-images, labels.not-of-plan, cache.corrupt */
export async function openTrainingImages(
  dir: string,
  plan: Pick<Plan, "pretext">,
): Promise<CachedImages & TrainingImages> {
  const cache = await openImageCache(dir);
  try {
    return await readTrainingImages(cache, dir, plan);
  } catch (error) {
    cache.close();
    throw error;
  }
}

/** Inverse to how common an image's class is; mean 1. */
export function balancedWeights(truth: Int32Array): Float32Array {
  const counts = new Map<number, number>();
  for (const c of truth) counts.set(c, (counts.get(c) ?? 0) + 1);
  return Float32Array.from(truth, (c) => truth.length / (counts.size * (counts.get(c) ?? 1)));
}
