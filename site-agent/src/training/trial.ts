/**
 * Tries a round's base on images that nobody trains on, always the same ones with the same crops and masks, so that losses
 * of different models can be compared.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { MOST_LOSS } from "@consilium/shared/secagg/plan-layout";
import { readImages, stepsPerEpoch } from "../dataset/batches.ts";
import { holdOut } from "../dataset/held-out.ts";
import { Random } from "../dataset/random.ts";
import type { TrainingImages } from "../dataset/training-images.ts";
import type { TrainStep } from "../engine/types.ts";
import type { PretextTask } from "../pretext/types.ts";
import type { Batch } from "./types.ts";

/** More would tell little more and cost every round. */
const MOST_BATCHES = 8;
const TRIAL_SEED = 0x7121a1;

/** None where the plan holds no images out, or the site has too few patients. @throws cache.corrupt */
export function* trialBatches(
  plan: Plan,
  task: Pick<PretextTask, "prepare">,
  cache: TrainingImages,
): Generator<Batch, void> {
  const { heldOut } = holdOut(cache, plan);
  if (heldOut.length === 0) return;
  const { batchSize } = plan.training;
  const random = new Random(TRIAL_SEED);
  for (let batch = 0; batch < Math.min(MOST_BATCHES, stepsPerEpoch(heldOut.length, batchSize)); batch++) {
    const indices = Int32Array.from(
      { length: batchSize },
      (_, i) => heldOut[(batch * batchSize + i) % heldOut.length] ?? 0,
    );
    const images = readImages(cache, indices, plan.model.channels);
    yield task.prepare(images, random, cache.answers?.(indices));
  }
}

/**
 * Steps of length 0: they compute the loss and leave the weights as they are. Moments are to be written again afterwards.
 * @returns the mean loss, at most MOST_LOSS, which a loss that is no number counts as; null without batches
 */
export async function tryModel(step: TrainStep, batches: Iterable<Batch>): Promise<number | null> {
  const losses: number[] = [];
  await step.writeOptimizerState(null);
  for (const batch of batches) {
    try {
      const { loss } = await step.run(batch, 0);
      losses.push(Math.min(loss, MOST_LOSS));
    } catch (error) {
      if (!(error instanceof ConsiliumError && error.code === "training.diverged")) throw error;
      return MOST_LOSS;
    }
  }
  return losses.length === 0 ? null : losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}
