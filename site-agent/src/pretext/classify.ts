/**
 * Classes from labels: the network that finetune trains (downstream/classifier.ts), see taught.ts.
 *
 * Letters in shapes: N images, C classes.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import { softTargets } from "../downstream/class-batches.ts";
import { classifierParameters, crossEntropy, imageLogits } from "../downstream/classifier.ts";
import * as tf from "../engine/tf.ts";
import type { InputTensors, ParameterTensors } from "../engine/types.ts";
import { assertTransformer, type VitConfig } from "../model/sizes.ts";
import { cachedBox, cropInputs, type CropInputs, type Input } from "../model/crop-inputs.ts";
import { answersOf, headStays, taughtCrops, withEvenHead } from "./taught.ts";
import type { PretextTask } from "./types.ts";

type ClassifySettings = Extract<Plan["pretext"], { readonly task: "classify" }>;

export type ClassifyInputs = CropInputs & {
  /** [N, C]: the wanted probabilities. */
  readonly targets: Input<"float32">;
  /** [N]: weight of each image's loss. */
  readonly weights: Input<"float32">;
};

/** @throws plan.invalid if the encoder's width does not fit its heads */
export function classifyTask(
  plan: Pick<Plan, "cachePx" | "volume">,
  settings: ClassifySettings,
  encoder: VitConfig,
): PretextTask<ClassifyInputs> {
  assertTransformer("model", encoder);
  const { classes, layerDecay, labelSmoothing } = settings;
  const parameters = headStays(classifierParameters(encoder, classes.length, layerDecay), encoder, settings);
  const crop = taughtCrops(plan, settings, encoder);
  const lossOf = (weights: ParameterTensors, inputs: InputTensors<ClassifyInputs>): Tensor =>
    crossEntropy(imageLogits(weights, inputs, encoder), inputs.targets, inputs.weights);
  return {
    name: "classify",
    parameters,
    inputs: (examples) => ({
      ...cropInputs(encoder, cachedBox(plan), examples),
      targets: { shape: [examples, classes.length], dtype: "float32" },
      weights: { shape: [examples], dtype: "float32" },
    }),
    loss: (weights, inputs) => ({ loss: lossOf(weights, inputs) }),
    judge: (weights, inputs) => ({
      loss: lossOf(weights, inputs),
      // Even odds: what a head says that has learned nothing.
      meanAnswerLoss: tf.mul(tf.mean(inputs.weights), Math.log(classes.length)),
    }),
    separable: true,
    initialWeights: (seed) => withEvenHead(parameters, seed),
    prepare: (images, random, answers) => {
      const { classes: truth, weights } = answersOf(answers, "classes");
      return {
        ...crop(images, random),
        targets: softTargets(truth, classes.length, labelSmoothing),
        weights,
      };
    },
  };
}
