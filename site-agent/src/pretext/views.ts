/**
 * Two views of each image, for tasks that compare them: two crops, bent in brightness, every second one blurred, with white
 * noise. All of it runs in the compiled step; the blur costs nothing there, as it goes into the crop's matrices.
 *
 * Medical images are grey, and standardised one by one: a shift or scale of brightness would be undone by that, so it is
 * the curve that varies, as between detectors and presets.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Random } from "../dataset/random.ts";
import * as tf from "../engine/tf.ts";
import type { InputArrays, InputTensors } from "../engine/types.ts";
import { standardise } from "../model/images.ts";
import type { VitConfig } from "../model/sizes.ts";
import {
  cropArrays,
  cropInputs,
  randomCrops,
  seen,
  type CachedBox,
  type CropInputs,
  type Input,
} from "../model/crop-inputs.ts";
import { bend, CURVE_LENGTH, randomGammaCurve } from "./curves.ts";

export type ViewSettings = Pick<
  Extract<Plan["pretext"], { readonly gammaMax: number }>,
  "cropMinArea" | "cropMaxArea" | "flip" | "gammaMax" | "blurMaxPx" | "noiseMaxStdDev"
>;

/** Along axis 0 the first view of each image, then the second of each; `images` are there once. */
export type TwoViewInputs = CropInputs & {
  readonly curves: Input<"float32">;
  /** Bytes, uniform: cheaper to draw and to move than normal numbers. */
  readonly noise: Input<"uint8">;
  readonly noiseStdDev: Input<"float32">;
};

export const VIEWS = 2;

/** Standard deviation of a uniform byte. */
const BYTE_STD_DEV = Math.sqrt((256 ** 2 - 1) / 12);

export function twoViewInputs(encoder: VitConfig, cache: CachedBox, batch: number): TwoViewInputs {
  const { imagePx, channels, volume } = encoder;
  const views = VIEWS * batch;
  return {
    ...cropInputs(encoder, cache, batch, VIEWS),
    curves: { shape: [views, CURVE_LENGTH], dtype: "float32" },
    noise: { shape: [views, (volume?.depthPx ?? 1) * imagePx, imagePx, channels], dtype: "uint8" },
    noiseStdDev: { shape: [views, 1, 1, 1], dtype: "float32" },
  };
}

/** @param images so many */
export function twoViewArrays(
  encoder: VitConfig,
  cache: CachedBox,
  settings: ViewSettings,
  { images, count }: { readonly images: Uint8Array; readonly count: number },
  random: Random,
): InputArrays<TwoViewInputs> {
  const { imagePx, channels, volume } = encoder;
  const views = VIEWS * count;
  const crops = cropArrays(encoder, cache, randomCrops(encoder, cache, settings, views, random));
  const curves = new Float32Array(views * CURVE_LENGTH);
  const noiseStdDev = new Float32Array(views);
  for (let view = 0; view < views; view++) {
    curves.set(randomGammaCurve(settings.gammaMax, random), view * CURVE_LENGTH);
    noiseStdDev[view] = settings.noiseMaxStdDev * random.uniform();
    const sigmaPx = random.uniform() < 0.5 ? 0 : settings.blurMaxPx * random.uniform();
    blurAcross(part(crops.cropRows, view, views), imagePx, sigmaPx);
    blurAcross(part(crops.cropColumns, view, views), imagePx, sigmaPx);
  }
  const pixels = (volume?.depthPx ?? 1) * imagePx ** 2 * channels;
  return { images, ...crops, curves, noise: randomBytes(views * pixels, random), noiseStdDev };
}

/** Both views of every image as the encoder takes them, [2 N, S, S, channels], of volumes [2 N, D S, S, channels]. */
export function seeTwoViews(inputs: InputTensors<TwoViewInputs>): Tensor {
  const twice = { ...inputs, images: tf.concat([inputs.images, inputs.images], 0) };
  const bent = bend(tf.div(seen(twice), 255), inputs.curves);
  const { images } = standardise(tf.mul(bent, 255));
  const noise = tf.div(tf.sub(inputs.noise, 127.5), BYTE_STD_DEV);
  return tf.add(images, tf.mul(noise, inputs.noiseStdDev));
}

/** The first views' rows and the second views', [2 N, d] -> twice [N, d]. */
export function apart(x: Tensor): readonly [Tensor, Tensor] {
  const [first, second] = tf.split(x, VIEWS, 0);
  if (first === undefined || second === undefined) throw new RangeError("there are two views");
  return [first, second];
}

const part = (matrices: Float32Array, index: number, count: number): Float32Array => {
  const length = matrices.length / count;
  return matrices.subarray(index * length, (index + 1) * length);
};

/**
 * Blurs what a crop's matrix makes, [targetPx, sourcePx], in place: a Gaussian along its first axis, with the border's
 * pixel repeated, so that rows still sum to 1.
 */
export function blurAcross(matrix: Float32Array, targetPx: number, sigmaPx: number): void {
  const reach = Math.ceil(3 * sigmaPx);
  if (reach === 0) return;
  const sourcePx = matrix.length / targetPx;
  const sharp = matrix.slice();
  const taps = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-(((i - reach) / sigmaPx) ** 2) / 2));
  const total = taps.reduce((sum, tap) => sum + tap, 0);
  matrix.fill(0);
  for (let target = 0; target < targetPx; target++) {
    for (const [i, tap] of taps.entries()) {
      const from = Math.min(targetPx - 1, Math.max(0, target + i - reach)) * sourcePx;
      const at = target * sourcePx;
      for (let x = 0; x < sourcePx; x++) {
        matrix[at + x] = (matrix[at + x] ?? NaN) + (tap / total) * (sharp[from + x] ?? NaN);
      }
    }
  }
}

/** Four from each draw. */
export function randomBytes(length: number, random: Random): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.uint32();
  return new Uint8Array(words.buffer, 0, length);
}
