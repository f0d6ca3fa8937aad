/** The encoder alone, fed the way other programs hold images: channel first, for files that leave the engine. */
import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "../engine/tf.ts";
import type { InferenceDefinition } from "../engine/types.ts";
import { standardise } from "./images.ts";
import { patchCount, type VitConfig } from "./sizes.ts";
import { encode, vitParameters } from "./vit.ts";

export interface PixelInput {
  readonly [name: string]: { readonly shape: readonly number[]; readonly dtype: "float32" };
  readonly pixels: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/**
 * `pixels` [N, channels, imagePx, imagePx], of volumes [N, channels, depthPx, imagePx, imagePx], grey from 0 to 255; standardised
 * inside. `tokens` [N, 1 + L, D] has the class token first; `features` [N, D] is the mean of the others.
 */
export function pixelFeatures(config: VitConfig, batchSize: number): InferenceDefinition<PixelInput> {
  const { channels, imagePx, volume, width } = config;
  const size = volume === undefined ? [imagePx, imagePx] : [volume.depthPx, imagePx, imagePx];
  return {
    parameters: vitParameters(config),
    inputs: { pixels: { shape: [batchSize, channels, ...size], dtype: "float32" } },
    forward: (parameters, { pixels }) => {
      const tokens = encode(parameters, standardise(channelLast(pixels, config)).images, config);
      const patches = tf.slice(tokens, [0, 1, 0], [batchSize, patchCount(config), width]);
      return { tokens, features: tf.mean(patches, 1) };
    },
  };
}

/** As `encode` takes them: slices of a volume below each other. */
function channelLast(pixels: Tensor, { channels, imagePx, volume }: VitConfig): Tensor {
  if (volume === undefined) return tf.transpose(pixels, [0, 2, 3, 1]);
  const [batch = 0] = pixels.shape;
  const last = tf.transpose(pixels, [0, 2, 3, 4, 1]);
  return tf.reshape(last, [batch, volume.depthPx * imagePx, imagePx, channels]);
}
