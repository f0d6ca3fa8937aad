/** What a model's loss is on each image: all that the attacker looks at. */
import type { Plan } from "@consilium/shared/plan";
import { readImages } from "../../../site-agent/src/dataset/batches.ts";
import type { CachedImages } from "../../../site-agent/src/dataset/cache.ts";
import { wholeImage } from "../../../site-agent/src/dataset/crops.ts";
import { Random } from "../../../site-agent/src/dataset/random.ts";
import * as tf from "../../../site-agent/src/engine/tf.ts";
import type { Engine, Inference } from "../../../site-agent/src/engine/types.ts";
import type { VitConfig } from "../../../site-agent/src/model/sizes.ts";
import {
  maeArrays,
  maeConfig,
  maeForward,
  maeInputs,
  maeParameters,
  type MaeInputs,
} from "../../../site-agent/src/pretext/mae.ts";

const BATCH = 32;

export interface LossMeter {
  /** The mean over the masks, of each image of the cache; always the same masks. */
  measure(weights: Float32Array): Promise<Float64Array>;
  dispose(): Promise<void>;
}

/** @param masks for each image, drawn at random as in training */
export async function openLossMeter(
  engine: Engine,
  plan: Plan,
  encoder: VitConfig,
  cache: CachedImages,
  masks: number,
): Promise<LossMeter> {
  const config = maeConfig(plan, encoder);
  const inference: Inference<MaeInputs> = await engine.compileInference({
    parameters: maeParameters(config),
    inputs: maeInputs(config, cache, BATCH),
    forward: (weights, inputs) => {
      const { prediction, target } = maeForward(weights, inputs, config);
      return { losses: tf.mean(tf.square(tf.sub(prediction, target)), [1, 2]) }; // [N]
    },
  });
  const images = cache.records.length;
  const measure = async (weights: Float32Array): Promise<Float64Array> => {
    await inference.writeWeights(weights);
    const random = new Random(MASK_SEED);
    const sums = new Float64Array(images);
    for (let first = 0; first < images * masks; first += BATCH) {
      const places = Int32Array.from({ length: BATCH }, (_, i) => (first + i) % images);
      const pixels = readImages(cache, places, plan.model.channels);
      const whole = Array.from(places, () => wholeImage(cache.sizePx));
      const { losses = [] } = await inference.run(maeArrays(config, cache, pixels, whole, random));
      for (const [i, place] of places.entries()) {
        // The last batch goes round once more.
        if (first + i < images * masks) sums[place] = (sums[place] ?? 0) + (losses[i] ?? NaN) / masks;
      }
    }
    return sums;
  };
  return { measure, dispose: () => inference.dispose() };
}

const MASK_SEED = 0x3a5c;
