/** From cached pixels to what the network sees, inside the compiled graph. */
import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "../engine/tf.ts";

/** Keeps an image without any contrast at zero. */
const VARIANCE_FLOOR = 1e-6;

/**
 * Crop, resize and flip as two matrix products an image (see dataset/crops.ts).
 * @param images [N, cachePx, cachePx, channels]
 * @param rows [N, imagePx, cachePx]
 * @param columns [N, imagePx, cachePx]
 * @returns [N, imagePx, imagePx, channels]
 */
export function cropImages(images: Tensor, rows: Tensor, columns: Tensor): Tensor {
  const [batch = 0, height = 0, width = 0, channels = 1] = images.shape;
  const lines = tf.matMul(rows, tf.reshape(images, [batch, height, width * channels])); // [N, S, W C]
  return resizeLines(lines, columns, channels);
}

/**
 * The same with a third matrix over the slices (see dataset/volume-crops.ts). Slices lie below each other, so that a volume
 * is a tall image to all that follows: GPUs have little for tensors of five dimensions.
 * @param volumes [N, cacheDepthPx * cachePx, cachePx, channels]
 * @param slices [N, depthPx, cacheDepthPx]
 * @returns [N, depthPx * imagePx, imagePx, channels]
 */
export function cropVolumes(volumes: Tensor, slices: Tensor, rows: Tensor, columns: Tensor): Tensor {
  const [batch = 0, , width = 0, channels = 1] = volumes.shape;
  const [, depth = 0, cachedDepth = 0] = slices.shape;
  const [, size = 0, height = 0] = rows.shape;
  const flat = tf.reshape(volumes, [batch, cachedDepth, height * width * channels]);
  const chosen = tf.reshape(tf.matMul(slices, flat), [batch, depth, height, width * channels]); // [N, D, H, W C]
  const rowFirst = tf.reshape(tf.transpose(chosen, [0, 2, 1, 3]), [batch, height, depth * width * channels]);
  const lines = tf.reshape(tf.matMul(rows, rowFirst), [batch, size * depth, width * channels]); // [N, S D, W C]
  const resized = tf.reshape(resizeLines(lines, columns, channels), [batch, size, depth, size * channels]);
  return tf.reshape(tf.transpose(resized, [0, 2, 1, 3]), [batch, depth * size, size, channels]);
}

/** [N, R, W C] by [N, S, W] -> [N, R, S, C] */
function resizeLines(lines: Tensor, columns: Tensor, channels: number): Tensor {
  const [batch = 0, count = 0] = lines.shape;
  const [, size = 0, width = 0] = columns.shape;
  if (channels === 1) {
    return tf.reshape(tf.matMul(lines, columns, false, true), [batch, count, size, 1]);
  }
  const channelFirst = tf.transpose(tf.reshape(lines, [batch, count, width, channels]), [0, 1, 3, 2]); // [N, R, C, W]
  const flat = tf.reshape(channelFirst, [batch, count * channels, width]); // [N, R C, W]
  const resized = tf.reshape(tf.matMul(flat, columns, false, true), [batch, count, channels, size]); // [N, R, C, S]
  return tf.transpose(resized, [0, 1, 3, 2]);
}

export interface Standardised {
  /** As the pixels, with mean 0 and standard deviation 1 in each image. */
  readonly images: Tensor;
  /** [N, 1, 1, 1], of pixels 0 to 1. */
  readonly mean: Tensor;
  /** [N, 1, 1, 1], of pixels 0 to 1. */
  readonly stdDev: Tensor;
}

/**
 * Each image by its own mean and standard deviation: removes a scanner's brightness and contrast.
 * @param pixels [N, S, S, channels], of volumes [N, D S, S, channels], 0 to 255
 */
export function standardise(pixels: Tensor): Standardised {
  const unit = tf.div(pixels, 255);
  const mean = tf.mean(unit, [1, 2, 3], true);
  const centred = tf.sub(unit, mean);
  const stdDev = tf.sqrt(tf.add(tf.mean(tf.square(centred), [1, 2, 3], true), VARIANCE_FLOOR));
  return { images: tf.div(centred, stdDev), mean, stdDev };
}
