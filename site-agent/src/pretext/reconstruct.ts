/** What a trained masked autoencoder sees: pictures for people, and how much better it is than a mean patch. */
import { assertLength } from "@consilium/shared/vector";
import type { Plan } from "@consilium/shared/plan";
import { recordBytes } from "../dataset/types.ts";
import { wholeVolume } from "../dataset/volume-crops.ts";
import { Random } from "../dataset/random.ts";
import type { Engine } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { gridSize, patchCount, patchLength, type VitConfig } from "../model/sizes.ts";
import {
  maeArrays,
  maeConfig,
  maeForward,
  maeInputs,
  maeParameters,
  PATCH_VARIANCE_FLOOR,
  type MaeConfig,
} from "./mae.ts";

export interface ReconstructRequest {
  readonly plan: Plan;
  /** The whole model, encoder and decoder, in manifest order. */
  readonly weights: Float32Array;
  /** uint8 [count, cachePx, cachePx, channels], or volumes [count, volume.depthPx, cachePx, cachePx, channels] */
  readonly images: Uint8Array;
  /** Decides what is masked. */
  readonly seed: number;
}

/** Each uint8 [depthPx, sizePx, sizePx, channels]. */
export interface ReconstructedImage {
  readonly original: Uint8Array;
  /** Hidden patches are mid-grey. */
  readonly masked: Uint8Array;
  /** Hidden patches as the model guesses them, visible ones as they are. */
  readonly reconstructed: Uint8Array;
}

export interface Reconstruction {
  readonly sizePx: number;
  /** 1 for images. */
  readonly depthPx: number;
  readonly channels: number;
  readonly images: readonly ReconstructedImage[];
  /** Mean squared error over the masked patches of all images, in the units of the pretext loss. */
  readonly loss: number;
  /** The same for a predictor that always answers with these images' mean masked patch. */
  readonly meanPatchLoss: number;
}

const MAX_BATCH = 16;
const MASK_GREY = 128;

/** @throws frame.wrong-length if the weights are not this plan's, plan.invalid, engine.* */
export async function reconstruct(
  engine: Engine,
  { plan, weights, images, seed }: ReconstructRequest,
): Promise<Reconstruction> {
  const config = maeConfig(plan);
  const { channels } = config.encoder;
  const cache = { sizePx: plan.cachePx, depthPx: plan.volume?.depthPx ?? 1, channels };
  const parameters = maeParameters(config);
  assertLength(manifestOf(parameters), weights);
  const stride = recordBytes(cache);
  const count = Math.floor(images.length / stride);
  const batch = Math.min(Math.max(1, count), MAX_BATCH);

  const inference = await engine.compileInference({
    parameters,
    inputs: maeInputs(config, cache, batch),
    forward: (tensors, inputs) => ({ ...maeForward(tensors, inputs, config) }),
  });
  try {
    await inference.writeWeights(weights);
    const random = new Random(seed);
    const crops = Array.from({ length: batch }, () => wholeVolume(cache));
    const seen: SeenImage[] = [];
    for (let start = 0; start < count; start += batch) {
      const pixels = new Uint8Array(batch * stride); // The last batch is filled up with black images.
      pixels.set(images.subarray(start * stride, (start + batch) * stride));
      const arrays = maeArrays(config, cache, pixels, crops, random);
      const outputs = await inference.run(arrays);
      for (let i = 0; i < Math.min(batch, count - start); i++) {
        seen.push(seenImage(outputs, arrays.patchOrder, i, config));
      }
    }
    return {
      sizePx: config.encoder.imagePx,
      depthPx: depthOf(config.encoder),
      channels,
      images: seen.map((image) => picture(image, config)),
      ...losses(seen, patchLength(config.encoder)),
    };
  } finally {
    await inference.dispose();
  }
}

/** One image's part of the outputs. */
interface SeenImage {
  /** Shuffled, visible first. */
  readonly order: Int32Array;
  /** [L, P] in that order. */
  readonly patches: Float32Array;
  /** [M, P] */
  readonly prediction: Float32Array;
  readonly target: Float32Array;
  readonly mean: number;
  readonly stdDev: number;
}

function seenImage(
  outputs: Readonly<Record<string, Float32Array>>,
  patchOrder: Int32Array,
  image: number,
  { encoder, visible }: MaeConfig,
): SeenImage {
  const patches = patchCount(encoder);
  const part = (name: string, length: number): Float32Array => {
    const values = outputs[name] ?? new Float32Array();
    return values.subarray(image * length, (image + 1) * length);
  };
  const hidden = (patches - visible) * patchLength(encoder);
  return {
    order: patchOrder.subarray(image * patches, (image + 1) * patches),
    patches: part("patches", patches * patchLength(encoder)),
    prediction: part("prediction", hidden),
    target: part("target", hidden),
    mean: part("imageMean", 1)[0] ?? NaN,
    stdDev: part("imageStdDev", 1)[0] ?? NaN,
  };
}

function picture(seen: SeenImage, { encoder, visible, normPixLoss }: MaeConfig): ReconstructedImage {
  const length = patchLength(encoder);
  const original = new Uint8Array(depthOf(encoder) * encoder.imagePx ** 2 * encoder.channels);
  const masked = new Uint8Array(original.length);
  const reconstructed = new Uint8Array(original.length);
  for (const [position, patch] of seen.order.entries()) {
    const truth = seen.patches.subarray(position * length, (position + 1) * length);
    const isVisible = position < visible;
    const hiddenAt = (position - visible) * length;
    const guess = isVisible ? truth : seen.prediction.subarray(hiddenAt, hiddenAt + length);
    const { mean, stdDev } = !isVisible && normPixLoss ? patchMoments(truth) : { mean: 0, stdDev: 1 };
    for (let i = 0; i < length; i++) {
      const pixel = pixelIndex(patch, i, encoder);
      const value = toGrey(truth[i] ?? NaN, seen);
      original[pixel] = value;
      masked[pixel] = isVisible ? value : MASK_GREY;
      reconstructed[pixel] = isVisible ? value : toGrey((guess[i] ?? NaN) * stdDev + mean, seen);
    }
  }
  return { original, masked, reconstructed };
}

/** As in `standardisePatches` of mae.ts. */
function patchMoments(patch: Float32Array): { mean: number; stdDev: number } {
  const mean = patch.reduce((sum, v) => sum + v, 0) / patch.length;
  const variance = patch.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (patch.length - 1);
  return { mean, stdDev: Math.sqrt(variance + PATCH_VARIANCE_FLOOR) };
}

/** From units of the image's standard deviation to 0 .. 255. */
function toGrey(value: number, { mean, stdDev }: SeenImage): number {
  return Math.min(255, Math.max(0, Math.round((value * stdDev + mean) * 255)));
}

const depthOf = ({ volume }: VitConfig): number => volume?.depthPx ?? 1;

/** Where number `i` of a patch lies in the image or volume: the inverse of `patchify`. */
function pixelIndex(patch: number, i: number, config: VitConfig): number {
  const { patchPx, channels, imagePx, volume } = config;
  const grid = gridSize(config);
  const channel = i % channels;
  const column = Math.floor(i / channels) % patchPx;
  const row = Math.floor(i / (channels * patchPx)) % patchPx;
  const slice = Math.floor(i / (channels * patchPx ** 2));
  const z = Math.floor(patch / grid ** 2) * (volume?.patchDepthPx ?? 1) + slice;
  const y = (Math.floor(patch / grid) % grid) * patchPx + row;
  const x = (patch % grid) * patchPx + column;
  return ((z * imagePx + y) * imagePx + x) * channels + channel;
}

function losses(seen: readonly SeenImage[], length: number): Pick<Reconstruction, "loss" | "meanPatchLoss"> {
  const meanPatch = new Float64Array(length);
  let patches = 0;
  for (const { target } of seen) {
    patches += target.length / length;
    for (const [i, v] of target.entries()) meanPatch[i % length] = (meanPatch[i % length] ?? NaN) + v;
  }
  let error = 0;
  let meanPatchError = 0;
  for (const { target, prediction } of seen) {
    for (const [i, v] of target.entries()) {
      error += (v - (prediction[i] ?? NaN)) ** 2;
      meanPatchError += (v - (meanPatch[i % length] ?? NaN) / patches) ** 2;
    }
  }
  return { loss: error / (patches * length), meanPatchLoss: meanPatchError / (patches * length) };
}
