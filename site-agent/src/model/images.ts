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
  const [, size = 0] = rows.shape;
  const lines = tf.matMul(rows, tf.reshape(images, [batch, height, width * channels])); // [N, S, W C]
  if (channels === 1) {
    return tf.reshape(tf.matMul(lines, columns, false, true), [batch, size, size, 1]);
  }
  const channelFirst = tf.transpose(tf.reshape(lines, [batch, size, width, channels]), [0, 1, 3, 2]); // [N, S, C, W]
  const flat = tf.reshape(channelFirst, [batch, size * channels, width]); // [N, S C, W]
  const resized = tf.reshape(tf.matMul(flat, columns, false, true), [batch, size, channels, size]); // [N, S, C, S]
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
 * @param pixels [N, S, S, channels], 0 to 255
 */
export function standardise(pixels: Tensor): Standardised {
  const unit = tf.div(pixels, 255);
  const mean = tf.mean(unit, [1, 2, 3], true);
  const centred = tf.sub(unit, mean);
  const stdDev = tf.sqrt(tf.add(tf.mean(tf.square(centred), [1, 2, 3], true), VARIANCE_FLOOR));
  return { images: tf.div(centred, stdDev), mean, stdDev };
}
