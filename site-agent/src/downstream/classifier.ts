/**
 * The image classifier: encoder, mean of the patch tokens, LayerNorm, linear. It is the MAE paper's fine-tuning network
 * (He et al. 2022, appendix A.1, with global pooling).
 *
 * Letters in shapes: N images, L patches, D width, C classes.
 */
import { elementCount } from "@consilium/shared/manifest";
import type { Tensor } from "@tensorflow/tfjs-core";
import { cropMatrices, wholeImage, type Crop } from "../dataset/crops.ts";
import { Random } from "../dataset/random.ts";
import { layerNorm, linear } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type {
  AdamWOptions,
  InferenceDefinition,
  InputArrays,
  Parameter,
  ParameterTensors,
  TrainStepDefinition,
} from "../engine/types.ts";
import { cropImages, standardise } from "../model/images.ts";
import { patchCount, type VitConfig } from "../model/sizes.ts";
import { apply, encode, linearParameters, normParameters, vitParameters } from "../model/vit.ts";

/** Small, so that the first predictions are even and the first gradients reach the head alone. */
const HEAD_STD_DEV = 0.01;

export interface ViewInputs {
  readonly [name: string]: { readonly shape: readonly number[]; readonly dtype: "uint8" | "float32" };
  readonly images: { readonly shape: readonly number[]; readonly dtype: "uint8" };
  readonly cropRows: { readonly shape: readonly number[]; readonly dtype: "float32" };
  readonly cropColumns: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

export interface ClassifierInputs extends ViewInputs {
  /** [N, C]: the wanted probabilities. */
  readonly targets: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [N]: weight of each image's loss. */
  readonly weights: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** The head's weights: LayerNorm after pooling, then the linear layer. */
export function headParameters(config: VitConfig, classes: number): readonly Parameter[] {
  return [...normParameters("fc_norm", config.width), ...linearParameters("head", config.width, classes)];
}

/**
 * Encoder, then head. Learning rates fall from the head down (Clark et al. 2020, as in BEiT and MAE): a block that is
 * k below the head learns with `layerDecay^k`.
 */
export function classifierParameters(
  config: VitConfig,
  classes: number,
  layerDecay: number,
): readonly Parameter[] {
  const top = config.depth + 1;
  const encoder = vitParameters(config).map((parameter) => ({
    ...parameter,
    learningRateScale: layerDecay ** (top - layerOf(parameter.name, config.depth)),
  }));
  return [...encoder, ...headParameters(config, classes)];
}

/** 0 for what makes tokens, i + 1 for block i, depth + 1 for what follows. */
export function layerOf(name: string, depth: number): number {
  const block = /^blocks\.(\d+)\./.exec(name);
  if (block) return Number(block[1]) + 1;
  return name === "cls_token" || name.startsWith("patch_embed.") ? 0 : depth + 1;
}

/** The head's initial weights: norm 1 and 0, normal matrix, zero bias. */
export function initialHead(config: VitConfig, classes: number, seed: number): Float32Array {
  const random = new Random(seed, 0x4ead);
  return Float32Array.from(
    headParameters(config, classes).flatMap(({ name, shape }) => {
      const length = elementCount(shape);
      if (name.endsWith(".bias")) return new Array<number>(length).fill(0);
      if (shape.length === 1) return new Array<number>(length).fill(1);
      return Array.from({ length }, () => HEAD_STD_DEV * random.normal());
    }),
  );
}

export interface ClassifierOptions {
  readonly config: VitConfig;
  readonly classes: number;
  /** Side of the cached images. */
  readonly cachePx: number;
  readonly batchSize: number;
}

/** One step of fine-tuning: augmentation, forward, weighted cross-entropy with soft targets, backward, AdamW. */
export function classifierTrainStep(
  options: ClassifierOptions,
  layerDecay: number,
  optimizer: AdamWOptions,
): TrainStepDefinition<ClassifierInputs> {
  const { config, classes, batchSize } = options;
  return {
    parameters: classifierParameters(config, classes, layerDecay),
    inputs: {
      ...viewInputs(options),
      targets: { shape: [batchSize, classes], dtype: "float32" },
      weights: { shape: [batchSize], dtype: "float32" },
    },
    optimizer,
    loss: (parameters, inputs) => {
      const logits = classify(parameters, pooledFeatures(parameters, inputs, config)); // [N, C]
      return { loss: crossEntropy(logits, inputs.targets, inputs.weights) };
    },
  };
}

/** Class probabilities [N, C] of whole images. */
export function classifierInference(options: ClassifierOptions): InferenceDefinition<ViewInputs> {
  const { config, classes } = options;
  return {
    parameters: classifierParameters(config, classes, 1),
    inputs: viewInputs(options),
    forward: (parameters, inputs) => ({
      probabilities: tf.softmax(classify(parameters, pooledFeatures(parameters, inputs, config))),
    }),
  };
}

/** Mean patch token [N, D] of whole images, from the encoder alone. */
export function featureInference(
  options: Omit<ClassifierOptions, "classes">,
): InferenceDefinition<ViewInputs> {
  return {
    parameters: vitParameters(options.config),
    inputs: viewInputs(options),
    forward: (parameters, inputs) => ({ features: pooledFeatures(parameters, inputs, options.config) }),
  };
}

/**
 * @param images uint8 [crops.length, cachePx, cachePx, channels]
 */
export function viewArrays(
  config: VitConfig,
  cachePx: number,
  images: Uint8Array,
  crops: readonly Crop[],
): InputArrays<Pick<ViewInputs, "images" | "cropRows" | "cropColumns">> {
  const { rows, columns } = cropMatrices(crops, cachePx, config.imagePx);
  return { images, cropRows: rows, cropColumns: columns };
}

/** As many whole images as a batch holds. */
export function wholeImages(cachePx: number, batchSize: number): readonly Crop[] {
  return Array.from({ length: batchSize }, () => wholeImage(cachePx));
}

function viewInputs({ config, cachePx, batchSize }: Omit<ClassifierOptions, "classes">): ViewInputs {
  const { imagePx, channels } = config;
  return {
    images: { shape: [batchSize, cachePx, cachePx, channels], dtype: "uint8" },
    cropRows: { shape: [batchSize, imagePx, cachePx], dtype: "float32" },
    cropColumns: { shape: [batchSize, imagePx, cachePx], dtype: "float32" },
  };
}

/** Cropped, standardised, encoded: the mean of the patch tokens, [N, D]. */
function pooledFeatures(
  parameters: ParameterTensors,
  inputs: Readonly<Record<"images" | "cropRows" | "cropColumns", Tensor>>,
  config: VitConfig,
): Tensor {
  const { images } = standardise(cropImages(inputs.images, inputs.cropRows, inputs.cropColumns));
  const tokens = encode(parameters, images, config); // [N, 1 + L, D]
  const [batch = 0, , width = 0] = tokens.shape;
  return tf.mean(tf.slice(tokens, [0, 1, 0], [batch, patchCount(config), width]), 1);
}

/** [N, D] -> logits [N, C] */
function classify(parameters: ParameterTensors, features: Tensor): Tensor {
  return apply(linear, parameters, "head", apply(layerNorm, parameters, "fc_norm", features));
}

/** Mean over the batch of weight x cross-entropy. The top logit is subtracted first, so that nothing overflows. */
function crossEntropy(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  const shifted = tf.sub(logits, tf.max(logits, 1, true)); // [N, C]
  const logSum = tf.log(tf.sum(tf.exp(shifted), 1, true)); // [N, 1]
  const entropy = tf.sum(tf.mul(targets, tf.sub(logSum, shifted)), 1); // [N]
  return tf.mean(tf.mul(weights, entropy));
}
