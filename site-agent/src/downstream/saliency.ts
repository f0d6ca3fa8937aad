/**
 * Which patches spoke for a class: the attention weights of all blocks, each weighted by how much it raises the class's
 * score, multiplied up through the blocks (Chefer, Gur and Wolf 2021, "Generic attention-model explainability",
 * equations 5 and 6). Unlike attention rollout it tells classes apart.
 *
 * Letters in shapes: N images, L patches, T = 1 + L tokens, H heads, C classes.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import type { LabelledImage } from "../dataset/labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import { readImages } from "../dataset/batches.ts";
import { layerNorm } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type { Engine, InferenceDefinition, ParameterTensors } from "../engine/types.ts";
import { gridSize, patchCount, type VitConfig } from "../model/sizes.ts";
import { apply, mixChannels, mixTokens, tokensOf } from "../model/vit.ts";
import { classifierParameters, classify, poolTokens, type ClassifierOptions } from "./classifier.ts";
import type { Saliency } from "./types.ts";
import { seeImages, viewArrays, viewInputs, wholeImages, type ViewInputs } from "./views.ts";

export interface SaliencyInputs extends ViewInputs {
  /** [N, C]: 1 at the class that is asked for. */
  readonly chosen: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** `relevance` [N, L] of the patches, not negative. */
export function saliencyInference(options: ClassifierOptions): InferenceDefinition<SaliencyInputs> {
  const { config, classes, batchSize } = options;
  return {
    parameters: classifierParameters(config, classes, 1),
    inputs: { ...viewInputs(options), chosen: { shape: [batchSize, classes], dtype: "float32" } },
    forward: (parameters, inputs) => {
      const tokens = tokensOf(parameters, seeImages(inputs), config); // [N, T, D]
      const taps = Array.from({ length: config.depth }, () => new Tap());
      const score = (x: Tensor): Tensor => {
        const logits = classify(parameters, poolTokens(encodeTapped(parameters, x, config, taps), config));
        return tf.sum(tf.mul(logits, inputs.chosen));
      };
      tf.grad(score)(tokens);
      return { relevance: relevanceOf(taps, config) };
    },
  };
}

/** Sees a tensor on its way up and its gradient on the way down. */
class Tap {
  #value: Tensor | null = null;
  #gradient: Tensor | null = null;

  readonly look = tf.customGrad((...args: (Tensor | tf.GradSaveFunc)[]) => {
    const [x] = args as [Tensor];
    // TF.js disposes of what the differentiated function does not return.
    this.#value = tf.keep(tf.clone(x));
    return {
      value: tf.clone(x),
      gradFunc: (dy: Tensor) => {
        this.#gradient = tf.keep(tf.clone(dy));
        return [dy];
      },
    };
  });

  /** The value times its gradient. */
  product(): Tensor {
    if (this.#value === null || this.#gradient === null) throw new Error("nothing has passed");
    const product = tf.mul(this.#value, this.#gradient);
    this.#value.dispose();
    this.#gradient.dispose();
    return product;
  }
}

function encodeTapped(
  parameters: ParameterTensors,
  tokens: Tensor,
  { heads }: VitConfig,
  taps: readonly Tap[],
): Tensor {
  let x = tokens;
  for (const [i, tap] of taps.entries()) {
    const name = `blocks.${i}`;
    x = mixChannels(parameters, name, mixTokens(parameters, name, x, heads, tap.look));
  }
  return apply(layerNorm, parameters, "norm", x);
}

/** What each patch gave to the mean of the patch tokens, without what a token gives to itself by staying: [N, L]. */
function relevanceOf(taps: readonly Tap[], config: VitConfig): Tensor {
  let passed: Tensor | null = null; // [N, T, T]: from which tokens each one came, less the identity
  for (const tap of taps) {
    const mixed = tf.mean(tf.relu(tap.product()), 1); // [N, T, T]
    passed = passed === null ? mixed : tf.add(tf.add(passed, mixed), tf.matMul(mixed, passed));
  }
  if (passed === null) throw new Error("a network without blocks");
  const [batch = 0] = passed.shape;
  const patches = patchCount(config);
  return tf.mean(tf.slice(passed, [0, 1, 1], [batch, patches, patches]), 1);
}

/** Few images are asked about. */
const BATCH = 4;

export interface SaliencyTask {
  readonly engine: Engine;
  readonly config: VitConfig;
  /** How many. */
  readonly classes: number;
  /** Encoder and head. */
  readonly weights: Float32Array;
  readonly cache: ImageCache;
}

/** One map an image, of the class that is asked for, in their order. */
export async function saliencyOf(
  { engine, config, classes, weights, cache }: SaliencyTask,
  asked: readonly { readonly image: LabelledImage; readonly class: number }[],
): Promise<Saliency[]> {
  const options = { config, classes, cachePx: cache.sizePx, batchSize: BATCH };
  const inference = await engine.compileInference(saliencyInference(options));
  try {
    await inference.writeWeights(weights);
    const maps: Saliency[] = [];
    for (let start = 0; start < asked.length; start += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, i) => asked[(start + i) % asked.length]);
      const indices = batch.map((one) => one?.image.index ?? 0);
      const chosen = new Float32Array(BATCH * classes);
      for (const [i, one] of batch.entries()) chosen[i * classes + (one?.class ?? 0)] = 1;
      const views = viewArrays(
        config,
        cache.sizePx,
        readImages(cache, indices, config.channels),
        wholeImages(cache.sizePx, BATCH),
      );
      const { relevance = new Float32Array() } = await inference.run({ ...views, chosen });
      const patches = relevance.length / BATCH;
      for (const i of asked.slice(start, start + BATCH).keys())
        maps.push({ grid: gridSize(config), values: scaled(relevance.slice(i * patches, (i + 1) * patches)) });
    }
    return maps;
  } finally {
    await inference.dispose();
  }
}

/** The most relevant patch is 1. */
function scaled(values: Float32Array): Float32Array {
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  return values.map((value) => (most > 0 ? value / most : 0));
}
