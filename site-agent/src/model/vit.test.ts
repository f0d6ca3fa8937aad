import "@tensorflow/tfjs-backend-cpu";
import { elementCount } from "@consilium/shared/manifest";
import type { Tensor } from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, it } from "vitest";
import { cropMatrices, wholeImage } from "../dataset/crops.ts";
import { Random } from "../dataset/random.ts";
import * as tf from "../engine/tf.ts";
import { cropImages, standardise } from "./images.ts";
import { initialWeights } from "./initial-weights.ts";
import { vitConfig, type VitConfig } from "./sizes.ts";
import {
  embedPatches,
  encode,
  encodeTokens,
  patchify,
  positions,
  prependClassToken,
  vitParameters,
} from "./vit.ts";

const TINY: VitConfig = { imagePx: 12, patchPx: 4, channels: 2, width: 8, depth: 2, heads: 2 };

beforeAll(async () => {
  await tf.setBackend("cpu");
});

function weights(config: VitConfig): Map<string, Tensor> {
  const parameters = vitParameters(config);
  const values = initialWeights(parameters, 1);
  let offset = 0;
  return new Map(
    parameters.map(({ name, shape }) => [
      name,
      tf.tensor(values.subarray(offset, (offset += elementCount(shape))), [...shape]),
    ]),
  );
}

const randomImages = (count: number, side: number, channels: number): Tensor => {
  const random = new Random(3);
  const values = Float32Array.from({ length: count * side * side * channels }, () => random.below(256));
  return tf.tensor(values, [count, side, side, channels]);
};

const largestDifference = (a: Tensor, b: Tensor): number => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0] ?? NaN;

describe("the vision transformer", () => {
  it.each([
    // As timm counts them, less the positions, which are fixed here: (1 + 196) * width.
    ["tiny", 5_524_416, 192],
    ["small", 21_665_664, 384],
    ["base", 85_798_656, 768],
  ] as const)("has as many weights as timm's %s", (size, timm, width) => {
    const config = vitConfig({ size, imagePx: 224, patchPx: 16, channels: 3 });
    const weightsHere = vitParameters(config).reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(weightsHere).toBe(timm - 197 * width);
  });

  it("cuts images into patches, row by row, with row, column and channel inside", () => {
    const images = tf.reshape(tf.range(0, 2 * 4 * 4 * 2), [2, 4, 4, 2]);
    const patches = patchify(images, { ...TINY, imagePx: 4, patchPx: 2 });
    expect(patches.shape).toEqual([2, 4, 8]);
    const values = Array.from(patches.dataSync());
    expect(values.slice(0, 16)).toEqual([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]);
    expect(values.slice(32, 40)).toEqual([32, 33, 34, 35, 40, 41, 42, 43]);
  });

  it("gives the class token and every patch its features", () => {
    const features = encode(weights(TINY), standardise(randomImages(3, 12, 2)).images, TINY);
    expect(features.shape).toEqual([3, 10, 8]);
    // The last norm: every token has mean 0 and variance 1 while its gain is 1.
    const { mean, variance } = tf.moments(features, -1);
    expect(largestDifference(mean, tf.zerosLike(mean))).toBeLessThan(1e-5);
    expect(largestDifference(variance, tf.onesLike(variance))).toBeLessThan(1e-2);
  });

  it("does not depend on the order of its tokens, which is what MAE relies on", () => {
    const parameters = weights(TINY);
    const { images } = standardise(randomImages(2, 12, 2));
    const inOrder = encode(parameters, images, TINY);
    const order = tf.tensor1d(Array.from(new Random(5).permutation(9)), "int32");
    const shuffledPatches = tf.gather(patchify(images, TINY), order, 1);
    const where = tf.gather(positions(TINY), order);
    const tokens = prependClassToken(parameters, tf.add(embedPatches(parameters, shuffledPatches), where));
    const shuffled = encodeTokens(parameters, tokens, TINY);
    const patchFeatures = (x: Tensor) => tf.slice(x, [0, 1, 0], [2, 9, 8]);
    expect(
      largestDifference(tf.slice(shuffled, [0, 0, 0], [2, 1, 8]), tf.slice(inOrder, [0, 0, 0], [2, 1, 8])),
    ).toBeLessThan(1e-5);
    expect(
      largestDifference(patchFeatures(shuffled), tf.gather(patchFeatures(inOrder), order, 1)),
    ).toBeLessThan(1e-5);
  });
});

describe("what the network sees", () => {
  it("is the whole image, or its mirror image, in all channels", () => {
    const images = randomImages(2, 6, 3);
    const { rows, columns } = cropMatrices([wholeImage(6), { ...wholeImage(6), flip: true }], 6, 6);
    const seen = cropImages(images, tf.tensor(rows, [2, 6, 6]), tf.tensor(columns, [2, 6, 6]));
    const [first, second] = tf.split(images, 2) as [Tensor, Tensor];
    expect(largestDifference(seen, tf.concat([first, tf.reverse(second, 2)]))).toBe(0);
  });

  it("is the same for one channel as for each of several", () => {
    const grey = randomImages(2, 10, 1);
    const crops = [
      { top: 1.5, left: 2, height: 6, width: 7, flip: true },
      { top: 0, left: 0, height: 10, width: 8, flip: false },
    ];
    const { rows, columns } = cropMatrices(crops, 10, 8);
    const see = (images: Tensor) =>
      cropImages(images, tf.tensor(rows, [2, 8, 10]), tf.tensor(columns, [2, 8, 10]));
    const one = see(grey);
    expect(one.shape).toEqual([2, 8, 8, 1]);
    expect(largestDifference(see(tf.concat([grey, grey], 3)), tf.concat([one, one], 3))).toBeLessThan(1e-4);
  });

  it("has mean 0 and standard deviation 1 in each image, and 0 where there is no contrast", () => {
    const images = tf.concat([tf.mul(randomImages(1, 8, 1), 0.3), tf.fill([1, 8, 8, 1], 77)]);
    const { images: standard, mean, stdDev } = standardise(images);
    const { mean: means, variance } = tf.moments(standard, [1, 2, 3]);
    expect(largestDifference(means, tf.tensor1d([0, 0]))).toBeLessThan(1e-4);
    expect(largestDifference(variance, tf.tensor1d([1, 0]))).toBeLessThan(1e-3);
    const back = tf.mul(tf.add(tf.mul(standard, stdDev), mean), 255);
    expect(largestDifference(back, images)).toBeLessThan(1e-3);
  });
});
