/**
 * The images that a plan trains on: all of a cache, or, where it learns from labels, those that have some of its classes and
 * are not kept to test on.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { openImageCache, type CachedImages } from "./cache.ts";
import type { LabelledImage } from "./labels.ts";
import { splitByPatient, TEST_SPLIT_SEED } from "./splits.ts";
import {
  answered,
  answersFor,
  openSiteLabels,
  type Answering,
  type SiteLabels,
  type TaughtPlan,
} from "./taught-labels.ts";
import type { ImageCache, ImageRecord } from "./types.ts";

/** With answers where the plan learns from labels. */
export interface TrainingImages extends ImageCache, Partial<Answering> {}

/** Share of the patients on whom a probe of the encoder is tried: those alone on whose labels nobody trains, where a plan learns from labels. */
export const askedShareOf = ({ pretext }: Pick<Plan, "pretext">): number =>
  taughtIn(pretext)?.testShare ?? 0.5;

/** By patient, as finetune splits at the same share: whom it tests on nobody has trained on. */
export function labelledParts(
  cache: Pick<ImageCache, "records">,
  labels: SiteLabels,
  { testShare, ...asked }: Pick<TaughtPlan, "task" | "classes" | "testShare">,
): { readonly taught: readonly LabelledImage[]; readonly tested: readonly LabelledImage[] } {
  const usable = answered(cache, labels, asked);
  return splitByPatient(usable, { taught: 1 - testShare, tested: testShare }, TEST_SPLIT_SEED);
}

/**
 * The cache itself, or a view of it with other places.
 * @throws labels.not-of-plan if the plan learns from labels and none is left to train on
 */
export function trainingImages<Cache extends ImageCache>(
  cache: Cache,
  { pretext }: Pick<Plan, "pretext">,
  labels: SiteLabels,
): Cache & TrainingImages {
  const teaching = taughtIn(pretext);
  if (teaching === null) return cache;
  const { taught } = labelledParts(cache, labels, teaching);
  if (taught.length === 0) throw new ConsiliumError("labels.not-of-plan", { culprits: ["labels"] });
  const places = Int32Array.from(taught, ({ index }) => index);
  const records = taught.flatMap(({ index }): ImageRecord[] => cache.records.slice(index, index + 1));
  return {
    ...cache,
    ...answersFor(cache, taught, labels, teaching),
    records,
    read: (indices, out) => {
      cache.read(
        Array.from(indices, (i) => places[i] ?? NaN),
        out,
      );
    },
  };
}

export interface OpenTrainingImages extends CachedImages, Partial<Answering> {
  /** The cache that they are of. */
  readonly whole: CachedImages;
}

/**
 * With the labels that lie beside the cache; closing it closes all.
 * @throws cache.missing, labels.not-of-plan, cache.corrupt
 */
export async function openTrainingImages(
  dir: string,
  plan: Pick<Plan, "pretext">,
): Promise<OpenTrainingImages> {
  const whole = await openImageCache(dir);
  let labels: Awaited<ReturnType<typeof openSiteLabels>> | null = null;
  const close = (): void => {
    labels?.close();
    whole.close();
  };
  try {
    labels = await openSiteLabels(dir, plan);
    return { ...trainingImages(whole, plan, labels), whole, close };
  } catch (error) {
    close();
    throw error;
  }
}
