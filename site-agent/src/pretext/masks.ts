/**
 * Masks from masks: a linear head that makes each token's patch (downstream/segmentation/network.ts), see taught.ts. Classes of which a
 * site has no masks have no part in its loss.
 *
 * Letters in shapes: N images, Z slices of one (1 for images), S side of the image, C classes.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import { encoderParameters } from "../downstream/layers.ts";
import { segment, segmentationParameters } from "../downstream/segmentation/network.ts";
import { seeImages } from "../downstream/views.ts";
import * as tf from "../engine/tf.ts";
import type { InputTensors } from "../engine/types.ts";
import { assertTransformer, type VitConfig } from "../model/sizes.ts";
import { cachedBox, cropInputs, seen, type CropInputs, type Input } from "../model/crop-inputs.ts";
import { answersOf, headStays, taughtCrops, withEvenHead } from "./taught.ts";
import type { PretextTask } from "./types.ts";

type MasksSettings = Extract<Plan["pretext"], { readonly task: "masks" }>;

export type MasksTaskInputs = CropInputs & {
  /** Coverage by each class, 0 to 255, as the images lie but for the channels: [N, Z S, S, C] of what is cached. */
  readonly masks: Input<"uint8">;
  /** [N, C]: 0 where a class is not known. */
  readonly weights: Input<"float32">;
};

/** @throws plan.invalid if the encoder's width does not fit its heads */
export function masksTask(
  plan: Pick<Plan, "cachePx" | "volume">,
  settings: MasksSettings,
  encoder: VitConfig,
): PretextTask<MasksTaskInputs> {
  assertTransformer("model", encoder);
  const { classes, layerDecay } = settings;
  const head = segmentationParameters(encoder, "linear", classes.length);
  const parameters = headStays([...encoderParameters(encoder, layerDecay), ...head], encoder, settings);
  const cached = cachedBox(plan);
  const crop = taughtCrops(plan, settings, encoder);
  const lossOf = (logits: Tensor, inputs: InputTensors<MasksTaskInputs>): Tensor => {
    const coverage = tf.div(seen({ ...inputs, images: inputs.masks }), 255); // [N, Z S, S, C]
    return maskLoss(logits, coverage, inputs.weights);
  };
  return {
    name: "masks",
    parameters,
    inputs: (examples) => ({
      ...cropInputs(encoder, cached, examples),
      masks: {
        shape: [examples, cached.depthPx * cached.sizePx, cached.sizePx, classes.length],
        dtype: "uint8",
      },
      weights: { shape: [examples, classes.length], dtype: "float32" },
    }),
    loss: (weights, inputs) => ({
      loss: lossOf(segment(weights, seeImages(inputs), encoder, "linear"), inputs),
    }),
    judge: (weights, inputs) => {
      const logits = segment(weights, seeImages(inputs), encoder, "linear");
      // Even odds: what a head says that has learned nothing.
      return { loss: lossOf(logits, inputs), meanAnswerLoss: lossOf(tf.mul(logits, 0), inputs) };
    },
    separable: true,
    initialWeights: (seed) => withEvenHead(parameters, seed),
    prepare: (images, random, answers) => {
      const { coverage, weights } = answersOf(answers, "masks");
      return { ...crop(images, random), masks: coverage, weights };
    },
  };
}

/**
 * As segmentationLoss, but with each image's own Dice: a mean over images, so that a batch may be cut into parts.
 * @param logits [N, Z S, S, C]
 * @param coverage [N, Z S, S, C], 0 to 1
 * @param weights [N, C]
 */
function maskLoss(logits: Tensor, coverage: Tensor, weights: Tensor): Tensor {
  const entropy = tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, coverage)), [1, 2]); // [N, C]
  const probabilities = tf.sigmoid(logits);
  const overlap = tf.sum(tf.mul(probabilities, coverage), [1, 2]);
  const total = tf.sum(tf.add(probabilities, coverage), [1, 2]);
  const dice = tf.div(tf.add(tf.mul(overlap, 2), 1), tf.add(total, 1));
  return tf.mean(tf.mul(weights, tf.add(entropy, tf.sub(1, dice))));
}
