/**
 * Findings from labels: the classifier with a sigmoid for each (downstream/findings/network.ts), see taught.ts. What is not known of an
 * image has no part in the loss.
 *
 * Letters in shapes: N images, C findings.
 */
import type { Plan } from "@consilium/shared/plan";
import { classifierParameters, imageLogits } from "../downstream/classifier.ts";
import { maskedEntropy } from "../downstream/findings/network.ts";
import * as tf from "../engine/tf.ts";
import { assertTransformer, type VitConfig } from "../model/sizes.ts";
import { cachedBox, cropInputs, type CropInputs, type Input } from "../model/crop-inputs.ts";
import { answersOf, headStays, taughtCrops, withEvenHead } from "./taught.ts";
import type { PretextTask } from "./types.ts";

type FindingsSettings = Extract<Plan["pretext"], { readonly task: "findings" }>;

export type FindingsTaskInputs = CropInputs & {
  /** [N, C]: the wanted probabilities. */
  readonly targets: Input<"float32">;
  /** [N, C]: weight of each answer's loss. */
  readonly weights: Input<"float32">;
};

/** @throws plan.invalid if the encoder's width does not fit its heads */
export function findingsTask(
  plan: Pick<Plan, "cachePx" | "volume">,
  settings: FindingsSettings,
  encoder: VitConfig,
): PretextTask<FindingsTaskInputs> {
  assertTransformer("model", encoder);
  const { classes, layerDecay, labelSmoothing } = settings;
  const parameters = headStays(classifierParameters(encoder, classes.length, layerDecay), encoder, settings);
  const crop = taughtCrops(plan, settings, encoder);
  return {
    name: "findings",
    parameters,
    inputs: (examples) => ({
      ...cropInputs(encoder, cachedBox(plan), examples),
      targets: { shape: [examples, classes.length], dtype: "float32" },
      weights: { shape: [examples, classes.length], dtype: "float32" },
    }),
    loss: (weights, inputs) => ({
      loss: maskedEntropy(imageLogits(weights, inputs, encoder), inputs.targets, inputs.weights),
    }),
    judge: (weights, inputs) => ({
      loss: maskedEntropy(imageLogits(weights, inputs, encoder), inputs.targets, inputs.weights),
      // Even odds: what a head says that has learned nothing.
      meanAnswerLoss: tf.mul(tf.mean(inputs.weights), Math.LN2),
    }),
    separable: true,
    initialWeights: (seed) => withEvenHead(parameters, seed),
    prepare: (images, random, answers) => {
      const { present, weights } = answersOf(answers, "findings");
      const targets = present.map((value) => value * (1 - labelSmoothing) + labelSmoothing / 2);
      return { ...crop(images, random), targets, weights };
    },
  };
}
