/** Training of a whole network on a few labels, with a compiled step whose weights are set already. */
import { learningRateAt } from "@consilium/shared/schedule";
import { epochBatches } from "../dataset/batches.ts";
import { Random } from "../dataset/random.ts";
import { bendTones } from "../dataset/tones.ts";
import type { InputArrays, TrainStep } from "../engine/types.ts";
import { randomCrops, type CachedBox } from "../model/crop-inputs.ts";
import type { VitConfig } from "../model/sizes.ts";
import { BestWeights, type Validation } from "./best-weights.ts";
import type { FinetuneSettings } from "./types.ts";
import type { ViewCrop, ViewInputs } from "./views.ts";

export interface FitTask<Inputs extends ViewInputs> {
  readonly step: TrainStep<Inputs>;
  /** How many there are to train on. */
  readonly images: number;
  readonly config: VitConfig;
  readonly cached: CachedBox;
  /** Images and labels of these places among the images, cropped alike. */
  readonly batch: (places: Int32Array, crops: readonly ViewCrop[]) => InputArrays<Inputs>;
  readonly settings: FinetuneSettings;
  readonly seed: number;
  /** On patients kept back; null trains to the end of the schedule. */
  readonly validation: Validation | null;
}

export interface Fitted {
  /** Of each step. */
  readonly losses: number[];
  /** Those of the best look at the patients kept back, or the last. */
  readonly weights: Float32Array;
  /** Whether a look chose them. */
  readonly isChosen: boolean;
}

/** How often the patients kept back are looked at. */
const LOOKS = 20;

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
 * Trains to the end of the schedule, or until the patients kept back get no better.
 * @throws training.diverged, engine.run-failed; whatever `onStep` throws, which is how to stop it
 */
export async function fit<Inputs extends ViewInputs>(
  { step, images, config, cached, batch, settings, seed, validation }: FitTask<Inputs>,
  onStep: (step: number, loss: number) => Promise<void>,
): Promise<Fitted> {
  const steps = fitSteps(images, settings);
  const schedule = {
    learningRate: settings.learningRate,
    warmupRounds: settings.warmup * steps,
    rounds: steps,
  };
  const random = new Random(seed, 0xf17);
  const losses: number[] = [];
  const best = new BestWeights(validation?.floor ?? 0);
  const lookEvery = Math.max(1, Math.floor(steps / LOOKS));
  while (losses.length < steps && !best.isFinal()) {
    for (const places of epochBatches(images, settings.batchSize, random)) {
      if (losses.length === steps || best.isFinal()) break;
      const crops = randomCrops(config, cached, settings, places.length, random);
      const rate = learningRateAt(schedule, losses.length + 1, 0.5);
      const inputs = batch(places, crops);
      bendTones(inputs.images, crops.length, settings.gammaMax, random);
      const { loss } = await step.run(inputs, rate);
      losses.push(loss);
      await onStep(losses.length, loss);
      if (validation === null || losses.length % lookEvery !== 0) continue;
      const weights = await step.readWeights();
      best.look(await validation.score(weights), weights, losses.length > schedule.warmupRounds);
    }
  }
  return {
    losses,
    weights: best.weights ?? (await step.readWeights()),
    isChosen: best.weights !== null,
  };
}
