/**
 * The one task with labels: the network that finetune trains (downstream/classifier.ts), taught by the labels of all sites.
 * Its head is shared like the encoder, or stays at each site (FedPer, Arivazhagan et al. 2019, arXiv 1912.00818). A label is an input of the step and never leaves the site.
 *
 * Letters in shapes: N images, C classes.
 */
import type { Plan } from "@consilium/shared/plan";
import { elementCount } from "@consilium/shared/manifest";
import type { Tensor } from "@tensorflow/tfjs-core";
import { recordBytes } from "../dataset/types.ts";
import { softTargets } from "../downstream/class-batches.ts";
import { classifierParameters, classify, crossEntropy, poolTokens } from "../downstream/classifier.ts";
import { mayFlip } from "../downstream/label-kind.ts";
import * as tf from "../engine/tf.ts";
import type { InferenceDefinition, InputTensors, Parameter, ParameterTensors } from "../engine/types.ts";
import { standardise } from "../model/images.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { assertTransformer, vitConfig, type VitConfig } from "../model/sizes.ts";
import { encode, vitParameters } from "../model/vit.ts";
import {
  cachedBox,
  cropArrays,
  cropInputs,
  randomCrops,
  seen,
  type CropInputs,
  type Input,
} from "../model/crop-inputs.ts";
import { allShared } from "./sharing.ts";
import type { PretextTask } from "./types.ts";

export type ClassifySettings = Extract<Plan["pretext"], { readonly task: "classify" }>;

export type ClassifyInputs = CropInputs & {
  /** [N, C]: the wanted probabilities. */
  readonly targets: Input<"float32">;
  /** [N]: weight of each image's loss. */
  readonly weights: Input<"float32">;
};

const HEAD = "head.";

/** @throws plan.invalid if the encoder's width does not fit its heads */
export function classifyTask(
  plan: Pick<Plan, "cachePx" | "volume">,
  settings: ClassifySettings,
  encoder: VitConfig,
): PretextTask<ClassifyInputs> {
  assertTransformer("model", encoder);
  const { classes, layerDecay, labelSmoothing } = settings;
  const ofEncoder = vitParameters(encoder).length;
  const parameters = allShared(classifierParameters(encoder, classes.length, layerDecay)).map((own, at) =>
    settings.head === "site" && at >= ofEncoder ? { ...own, sharing: "kept" as const } : own,
  );
  const cache = cachedBox(plan);
  const bytes = recordBytes({ ...cache, channels: encoder.channels });
  const crops = { ...settings, flip: settings.flip && mayFlip(classes) };
  return {
    name: "classify",
    parameters,
    inputs: (examples) => ({
      ...cropInputs(encoder, cache, examples),
      targets: { shape: [examples, classes.length], dtype: "float32" },
      weights: { shape: [examples], dtype: "float32" },
    }),
    loss: (parameterTensors, inputs) => ({ loss: lossOf(parameterTensors, inputs, encoder) }),
    judge: (parameterTensors, inputs) => ({
      loss: lossOf(parameterTensors, inputs, encoder),
      // Even odds: what a head says that has learned nothing.
      meanAnswerLoss: tf.mul(tf.mean(inputs.weights), Math.log(classes.length)),
    }),
    separable: true,
    initialWeights: (seed) => withEvenHead(parameters, initialWeights(parameters, seed)),
    prepare: (images, random, answers) => {
      if (answers === undefined) throw new Error("a task with labels prepares labelled images");
      const count = images.length / bytes;
      return {
        images,
        ...cropArrays(encoder, cache, randomCrops(encoder, cache, crops, count, random)),
        targets: softTargets(answers.classes, classes.length, labelSmoothing),
        weights: answers.weights,
      };
    },
  };
}

/** Class probabilities of whole images, [N, C], of the task's own weights. */
export function classDefinition(
  plan: Plan,
  { classes }: Pick<ClassifySettings, "classes">,
  batch: number,
): InferenceDefinition<CropInputs> {
  const encoder = vitConfig(plan.model);
  return {
    parameters: classifierParameters(encoder, classes.length, 1),
    inputs: cropInputs(encoder, cachedBox(plan), batch),
    forward: (parameters, inputs) => ({ probabilities: tf.softmax(logits(parameters, inputs, encoder)) }),
  };
}

const lossOf = (
  parameters: ParameterTensors,
  inputs: InputTensors<ClassifyInputs>,
  encoder: VitConfig,
): Tensor => crossEntropy(logits(parameters, inputs, encoder), inputs.targets, inputs.weights);

/** [N, C] */
function logits(parameters: ParameterTensors, inputs: InputTensors<CropInputs>, encoder: VitConfig): Tensor {
  const tokens = encode(parameters, standardise(seen(inputs)).images, encoder); // [N, 1 + L, D]
  return classify(parameters, poolTokens(tokens, encoder));
}

/** All classes alike at first, so that the first steps reach the head alone. Zeros are the same bits everywhere. */
function withEvenHead(parameters: readonly Parameter[], values: Float32Array): Float32Array {
  let offset = 0;
  for (const { name, shape } of parameters) {
    const length = elementCount(shape);
    if (name.startsWith(HEAD)) values.fill(0, offset, offset + length);
    offset += length;
  }
  return values;
}
