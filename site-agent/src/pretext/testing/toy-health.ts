import { featureHealth, MomentSums, type FeatureHealth } from "@consilium/shared/health/moments";
import * as tf from "../../engine/tf.ts";
import { standardise } from "../../model/images.ts";
import type { VitConfig } from "../../model/sizes.ts";
import { encode, vitParameters } from "../../model/vit.ts";
import { pooled } from "../projector.ts";

/**
 * What features of toy images say, cut to the network's size from their middle.
 * @param weights whose first are the encoder's
 * @param images uint8 [count, cachePx, cachePx]
 */
export function toyHealth(
  encoder: VitConfig,
  weights: Float32Array,
  images: Uint8Array,
  cachePx: number,
): FeatureHealth {
  const { imagePx, width } = encoder;
  const count = images.length / cachePx ** 2;
  const margin = (cachePx - imagePx) / 2;
  const features = tf.tidy(() => {
    let offset = 0;
    const tensors = new Map(
      vitParameters(encoder).map(({ name, shape }) => {
        const length = shape.reduce((product, n) => product * n, 1);
        return [name, tf.tensor(weights.slice(offset, (offset += length)), [...shape])];
      }),
    );
    const pixels = tf.tensor(Float32Array.from(images), [count, cachePx, cachePx, 1]);
    const cut = tf.slice(pixels, [0, margin, margin, 0], [count, imagePx, imagePx, 1]);
    return pooled(encode(tensors, standardise(cut).images, encoder));
  });
  const values = features.dataSync();
  features.dispose();
  const sums = new MomentSums(width);
  for (let i = 0; i < count; i++) {
    const feature = values.slice(i * width, (i + 1) * width);
    sums.add(feature, feature);
  }
  return featureHealth(sums.means());
}
