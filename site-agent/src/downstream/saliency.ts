/**
 * Which patches spoke for a class and which against it: integrated gradients (Sundararajan, Taly and Yan 2017, equations 1 and 3)
 * along the way from an evenly grey image or volume to this one, summed over each patch. They add up to the difference of the scores.
 *
 * Letters in shapes: K points on the way at once, S side of an image, L patches, P numbers in a patch, C classes.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import { readImages } from "../dataset/batches.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import * as tf from "../engine/tf.ts";
import type { Engine, InferenceDefinition } from "../engine/types.ts";
import { gridDepth, gridSize, patchCount, type VitConfig } from "../model/sizes.ts";
import { encode, patchify } from "../model/vit.ts";
import { classifierParameters, classify, poolTokens } from "./classifier.ts";
import type { Saliency } from "./types.ts";
import type { CachedBox } from "../model/crop-inputs.ts";
import { inferenceBatch, seeImages, viewArrays, viewInputs, wholeImages, type ViewInputs } from "./views.ts";

/** With 20 the sum is within some percent of the difference (ibid., section 5); these are midpoints, which do better. */
const POINTS = 24;

interface SaliencyInputs extends ViewInputs {
  /** [C]: how the classes' logits make up the score that is explained. */
  readonly chosen: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [K]: how far each copy of the image is on the way. */
  readonly way: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** Takes one image K times, gives `attribution` [L], the mean over these points. */
function saliencyInference(
  config: VitConfig,
  classes: number,
  cached: CachedBox,
  points: number,
): InferenceDefinition<SaliencyInputs> {
  return {
    parameters: classifierParameters(config, classes, 1),
    inputs: {
      ...viewInputs({ config, cached, batchSize: points }),
      chosen: { shape: [classes], dtype: "float32" },
      way: { shape: [points], dtype: "float32" },
    },
    forward: (parameters, { chosen, way, ...views }) => {
      // Standardised: zero is the image's own mean grey.
      const images = seeImages(views); // [K, S, S, channels]
      const score = (x: Tensor): Tensor => {
        const logits = classify(parameters, poolTokens(encode(parameters, x, config), config)); // [K, C]
        return tf.sum(tf.mul(logits, chosen));
      };
      const gradients = tf.grad(score)(tf.mul(images, tf.reshape(way, [points, 1, 1, 1])));
      const patches = patchify(tf.mul(images, gradients), config); // [K, L, P]
      return { attribution: tf.reshape(tf.mean(tf.sum(patches, 2), 0), [patchCount(config)]) };
    },
  };
}

export interface SaliencyTask {
  readonly engine: Engine;
  readonly config: VitConfig;
  /** How many. */
  readonly classes: number;
  /** Encoder and head. */
  readonly weights: Float32Array;
  readonly cache: ImageCache;
}

export interface Question {
  readonly image: LabelledImage;
  /** Factor of each class's logit in the score that is explained, [C]. */
  readonly chosen: Float32Array;
}

/** This class against the mean of the others: what a softmax goes by. */
export const againstOthers = (c: number, classes: number): Float32Array =>
  Float32Array.from({ length: classes }, (_, other) => (other === c ? 1 : -1 / (classes - 1)));

/** What each patch added to the score, one map a question, [L] each, layer by layer, row by row. */
export async function attributions(
  { engine, config, classes, weights, cache }: SaliencyTask,
  questions: readonly Question[],
): Promise<Float32Array[]> {
  const points = pointsAtOnce(config);
  const inference = await engine.compileInference(saliencyInference(config, classes, cache, points));
  const crops = wholeImages(cache, points);
  const way = Float32Array.from({ length: POINTS }, (_, i) => (i + 0.5) / POINTS);
  try {
    await inference.writeWeights(weights);
    const maps: Float32Array[] = [];
    for (const { image, chosen } of questions) {
      const copies = readImages(cache, new Array<number>(points).fill(image.index), config.channels);
      const views = viewArrays(config, cache, copies, crops);
      const map = new Float32Array(patchCount(config));
      for (let from = 0; from < POINTS; from += points) {
        const part = way.slice(from, from + points);
        const { attribution = map } = await inference.run({ ...views, chosen, way: part });
        for (const [i, value] of attribution.entries()) map[i] = (map[i] ?? 0) + (value * points) / POINTS;
      }
      maps.push(map);
    }
    return maps;
  } finally {
    await inference.dispose();
  }
}

/** All of them for images; of volumes as many as memory allows, in equal parts. */
function pointsAtOnce(config: VitConfig): number {
  let points = inferenceBatch(config, POINTS);
  while (POINTS % points !== 0) points -= 1;
  return points;
}

/** The strongest patch, for or against, is 1 or -1. */
export function saliencyMap(attribution: Float32Array, config: VitConfig): Saliency {
  const most = attribution.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const values = attribution.map((value) => (most > 0 ? value / most : 0));
  return { grid: gridSize(config), layers: gridDepth(config), values };
}
