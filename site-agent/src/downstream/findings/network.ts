/** The classifier with a sigmoid for each finding: they are independent of each other. Letters in shapes: N images, C findings. */
import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "../../engine/tf.ts";
import type {
  AdamWOptions,
  InferenceDefinition,
  Parameter,
  TrainStepDefinition,
} from "../../engine/types.ts";
import { imageLogits } from "../classifier.ts";
import { viewInputs, type ViewInputs, type ViewOptions } from "../views.ts";

export interface FindingsInputs extends ViewInputs {
  /** [N, C]: the wanted probabilities. */
  readonly targets: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [N, C]: weight of each image's loss for each finding; 0 where it is not known. */
  readonly weights: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** `probabilities` [N, C] of whole images. */
export function findingsInference(
  options: ViewOptions,
  parameters: readonly Parameter[],
): InferenceDefinition<ViewInputs> {
  return {
    parameters,
    inputs: viewInputs(options),
    forward: (weights, inputs) => ({
      probabilities: tf.sigmoid(imageLogits(weights, inputs, options.config)),
    }),
  };
}

export function findingsTrainStep(
  options: ViewOptions,
  findings: number,
  parameters: readonly Parameter[],
  optimizer: AdamWOptions,
): TrainStepDefinition<FindingsInputs> {
  const shape = [options.batchSize, findings];
  return {
    parameters,
    optimizer,
    inputs: {
      ...viewInputs(options),
      targets: { shape, dtype: "float32" },
      weights: { shape, dtype: "float32" },
    },
    loss: (weights, inputs) => {
      const logits = imageLogits(weights, inputs, options.config);
      return { loss: maskedEntropy(logits, inputs.targets, inputs.weights) };
    },
  };
}

/** Mean over [N, C] of weight x binary cross-entropy, log(1 + e^x) - x target. */
export function maskedEntropy(logits: Tensor, targets: Tensor, weights: Tensor): Tensor {
  const entropy = tf.sub(tf.softplus(logits), tf.mul(logits, targets));
  return tf.mean(tf.mul(weights, entropy));
}
