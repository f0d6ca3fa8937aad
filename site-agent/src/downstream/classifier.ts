/**
 * The image classifier: encoder, mean of the patch tokens, LayerNorm, linear. It is the MAE paper's fine-tuning network
 * (He et al. 2022, appendix A.1, with global pooling).
 *
 * Letters in shapes: N images, L patches, D width, C classes.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import { layerNorm, linear } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type {
  AdamWOptions,
  InferenceDefinition,
  Parameter,
  ParameterTensors,
  TrainStepDefinition,
} from "../engine/types.ts";
import { patchCount, type VitConfig } from "../model/sizes.ts";
import { apply, encode, linearParameters, normParameters, vitParameters } from "../model/vit.ts";
import { encoderParameters, initialHead } from "./layers.ts";
import { seeImages, viewInputs, type ViewInputs, type ViewOptions, type ViewTensors } from "./views.ts";

/** Small, so that the first predictions are even and the first gradients reach the head alone. */
const HEAD_STD_DEV = 0.01;

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

/** Encoder, then head; see encoderParameters for the decay. */
export function classifierParameters(
  config: VitConfig,
  classes: number,
  layerDecay: number,
): readonly Parameter[] {
  return [...encoderParameters(config, layerDecay), ...headParameters(config, classes)];
}

/** The head's initial weights: norm 1 and 0, normal matrix, zero bias. */
export function initialClassifierHead(config: VitConfig, classes: number, seed: number): Float32Array {
  return initialHead(headParameters(config, classes), { stdDev: () => HEAD_STD_DEV, bias: () => 0 }, seed);
}

export interface ClassifierOptions extends ViewOptions {
  readonly classes: number;
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
      const logits = imageLogits(parameters, inputs, config); // [N, C]
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
      probabilities: tf.softmax(imageLogits(parameters, inputs, config)),
    }),
  };
}

/** Mean patch token [N, D] of whole images, from the encoder alone. */
export function featureInference(options: ViewOptions): InferenceDefinition<ViewInputs> {
  return {
    parameters: vitParameters(options.config),
    inputs: viewInputs(options),
    forward: (parameters, inputs) => ({ features: pooledFeatures(parameters, inputs, options.config) }),
  };
}

/** Cropped, standardised, encoded: the mean of the patch tokens, [N, D]. */
function pooledFeatures(parameters: ParameterTensors, inputs: ViewTensors, config: VitConfig): Tensor {
  return poolTokens(encode(parameters, seeImages(inputs), config), config);
}

/** Of whole images or crops, [N, C]. */
export function imageLogits(parameters: ParameterTensors, inputs: ViewTensors, config: VitConfig): Tensor {
  return classify(parameters, pooledFeatures(parameters, inputs, config));
}

/** The mean of the patch tokens, [N, 1 + L, D] -> [N, D]. */
export function poolTokens(tokens: Tensor, config: VitConfig): Tensor {
  const [batch = 0, , width = 0] = tokens.shape;
  return tf.mean(tf.slice(tokens, [0, 1, 0], [batch, patchCount(config), width]), 1);
}

/** [N, D] -> logits [N, C] */
export function classify(parameters: ParameterTensors, features: Tensor): Tensor {
  return apply(linear, parameters, "head", apply(layerNorm, parameters, "fc_norm", features));
}

/** Mean over the batch of weight x cross-entropy. The top logit is subtracted first, so that nothing overflows. */
export function crossEntropy(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  const shifted = tf.sub(logits, tf.max(logits, 1, true)); // [N, C]
  const logSum = tf.log(tf.sum(tf.exp(shifted), 1, true)); // [N, 1]
  const entropy = tf.sum(tf.mul(targets, tf.sub(logSum, shifted)), 1); // [N]
  return tf.mean(tf.mul(weights, entropy));
}
