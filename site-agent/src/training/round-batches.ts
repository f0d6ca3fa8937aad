/** What one round of local training feeds its steps with, in order. */
import type { Plan } from "@consilium/shared/plan";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { epochBatches, readImages, stepsPerEpoch } from "../dataset/batches.ts";
import { Random } from "../dataset/random.ts";
import { holdOut } from "../dataset/held-out.ts";
import type { TrainingImages } from "../dataset/training-images.ts";
import type { PretextTask } from "../pretext/types.ts";
import { privateBatches } from "./private-batches.ts";
import type { Batch } from "./types.ts";

export interface RoundBatches {
  readonly plan: Plan;
  readonly round: number;
  /** Site-specific seed of crops, masks and batch order. */
  readonly seed: number;
  /** Where patients are protected; the seed then decides nothing. */
  readonly privacy?: PrivacyTerms | null;
}

export const stepsPerRound = ({ training }: Plan, images: number): number =>
  training.localEpochs * stepsPerEpoch(images, training.batchSize);

/** The round's batches, protected or not. @throws cache.corrupt */
export const batchesOf = (
  request: RoundBatches,
  task: Pick<PretextTask, "prepare">,
  cache: TrainingImages,
): Generator<Batch, void> => {
  const { plan, privacy = null } = request;
  return privacy === null ? roundBatches(request, task, cache) : privateBatches(plan, privacy, task, cache);
};

/**
 * The same bits for the same seed, round and cache.
 * @throws cache.corrupt
 */
export function* roundBatches(
  { plan, round, seed }: RoundBatches,
  task: Pick<PretextTask, "prepare">,
  cache: TrainingImages,
): Generator<Batch, void> {
  const { localEpochs, batchSize } = plan.training;
  const random = new Random(seed, round);
  const { trained } = holdOut(cache, plan);
  for (let epoch = 0; epoch < localEpochs; epoch++) {
    for (const indices of epochBatches(trained.length, batchSize, random)) {
      const places = indices.map((index) => trained[index] ?? 0);
      const images = readImages(cache, places, plan.model.channels);
      yield task.prepare(images, random, cache.answers?.(places));
    }
  }
}
