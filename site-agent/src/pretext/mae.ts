/**
 * Masked autoencoder (He et al. 2022, facebookresearch/mae): the encoder sees a random quarter of the patches, a small
 * decoder restores the others. Weights of the decoder have that repository's names.
 *
 * One departure in form, none in value: tokens stay in shuffled order in the decoder, with matching positions and
 * targets, so that nothing is scattered back. A transformer without positions is equivariant to order.
 *
 * Volumes differ in their patches, positions and crops; from there on a patch is a patch.
 *
 * Letters in shapes: N images or volumes, L patches, V visible, M masked, P numbers in a patch, D encoder width, W decoder width.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Crop } from "../dataset/crops.ts";
import type { Random } from "../dataset/random.ts";
import { recordBytes } from "../dataset/types.ts";
import type { VolumeCrop } from "../dataset/volume-crops.ts";
import { addToken, layerNorm, linear } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type { InputArrays, InputTensors, Parameter, ParameterTensors } from "../engine/types.ts";
import { standardise } from "../model/images.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { assertTransformer, patchCount, patchLength, vitConfig, type VitConfig } from "../model/sizes.ts";
import {
  apply,
  block,
  blockParameters,
  embedPatches,
  encodeTokens,
  linearParameters,
  mixChannels,
  mixTokens,
  normParameters,
  parameter,
  patchify,
  positions,
  prependClassToken,
  token,
  vitParameters,
} from "../model/vit.ts";
import {
  cachedBox,
  cropArrays,
  cropInputs,
  randomCrops,
  seen,
  type CachedBox,
  type CropInputs,
  type Input,
  type VolumeCropInputs,
} from "../model/crop-inputs.ts";
import { allShared } from "./sharing.ts";
import type { PretextTask } from "./types.ts";

export interface MaeConfig {
  readonly encoder: VitConfig;
  readonly decoder: { readonly width: number; readonly depth: number; readonly heads: number };
  /** V; the other patches are masked. */
  readonly visible: number;
  readonly normPixLoss: boolean;
}

/** Each image's patches, shuffled: the first V are visible. */
type PatchOrder = { readonly patchOrder: Input<"int32"> };
export type MaeInputs = CropInputs & PatchOrder;
export type MaeVolumeInputs = VolumeCropInputs & PatchOrder;

export type MaeSettings = Extract<Plan["pretext"], { readonly task: "mae" }>;

/** Keeps a patch without any contrast at zero (the paper's code, `forward_loss`). */
export const PATCH_VARIANCE_FLOOR = 1e-6;

/** @throws pretext.not-mae if the plan has another task, plan.invalid if a width does not fit its heads */
export function maeConfig({ model, pretext }: Plan, encoder = vitConfig(model)): MaeConfig {
  if (pretext.task !== "mae") throw new ConsiliumError("pretext.not-mae", { culprits: [pretext.task] });
  assertTransformer("model", encoder);
  assertTransformer("pretext.decoder", pretext.decoder);
  const patches = patchCount(encoder);
  // 100 * (1 - .9) is a hair under 10 in floating point.
  const kept = Math.floor(patches * (1 - pretext.maskRatio) + 1e-6);
  const visible = Math.min(patches - 1, Math.max(1, kept));
  return { encoder, decoder: pretext.decoder, visible, normPixLoss: pretext.normPixLoss };
}

/** @throws pretext.not-mae, plan.invalid */
export function maeTask(plan: Plan, encoder = vitConfig(plan.model)): PretextTask<MaeInputs> {
  const config = maeConfig(plan, encoder);
  const parameters = allShared(maeParameters(config));
  const cache = cachedBox(plan);
  const bytes = recordBytes({ ...cache, channels: encoder.channels });
  return {
    name: "mae",
    parameters,
    inputs: (examples) => maeInputs(config, cache, examples),
    loss: (weights, inputs) => ({ loss: maeLoss(maeForward(weights, inputs, config)) }),
    judge: (weights, inputs) => judged(maeForward(weights, inputs, config)),
    // Every image has as many masked patches, so the mean over all of them is the mean over images.
    separable: true,
    initialWeights: (seed) => initialWeights(parameters, seed),
    prepare: (images, random) => {
      const crops = randomCrops(encoder, cache, plan.pretext, images.length / bytes, random);
      return maeArrays(config, cache, images, crops, random);
    },
  };
}

/** Encoder first, then the decoder, which is no part of the shared encoder's use. */
export function maeParameters({ encoder, decoder }: MaeConfig): readonly Parameter[] {
  return [
    ...vitParameters(encoder),
    token("mask_token", decoder.width),
    ...linearParameters("decoder_embed", encoder.width, decoder.width),
    ...Array.from({ length: decoder.depth }, (_, i) =>
      blockParameters(`decoder_blocks.${i}`, decoder.width),
    ).flat(),
    ...normParameters("decoder_norm", decoder.width),
    ...linearParameters("decoder_pred", decoder.width, patchLength(encoder)),
  ];
}

/** Of volumes one more, `cropSlices`. */
export function maeInputs(
  { encoder }: MaeConfig,
  cache: CachedBox,
  batch: number,
): MaeInputs | MaeVolumeInputs {
  return {
    ...cropInputs(encoder, cache, batch),
    patchOrder: { shape: [batch, patchCount(encoder)], dtype: "int32" },
  };
}

/** One batch of inputs: what `random` decides here is the mask. */
export function maeArrays(
  { encoder }: MaeConfig,
  cache: CachedBox,
  images: Uint8Array,
  crops: readonly (Crop | VolumeCrop)[],
  random: Random,
): InputArrays<MaeInputs> | InputArrays<MaeVolumeInputs> {
  const patches = patchCount(encoder);
  const patchOrder = new Int32Array(crops.length * patches);
  for (let image = 0; image < crops.length; image++) {
    patchOrder.set(random.permutation(patches), image * patches);
  }
  return { images, ...cropArrays(encoder, cache, crops), patchOrder };
}

export interface MaeForward {
  /** The decoder's guess at the masked patches, [N, M, P]. */
  readonly prediction: Tensor;
  /** What they are, [N, M, P]: standardised by patch under normPixLoss. */
  readonly target: Tensor;
  /** All patches in shuffled order, standardised by image, [N, L, P]. */
  readonly patches: Tensor;
  /** Of each image's pixels 0 to 1, [N, 1, 1, 1]. */
  readonly imageMean: Tensor;
  readonly imageStdDev: Tensor;
}

export function maeForward(
  weights: ParameterTensors,
  inputs: InputTensors<MaeInputs> | InputTensors<MaeVolumeInputs>,
  config: MaeConfig,
): MaeForward {
  const { images, mean, stdDev } = standardise(seen(inputs));
  const patches = shuffle(patchify(images, config.encoder), inputs.patchOrder); // [N, L, P]
  const latent = encodeVisible(weights, patches, inputs.patchOrder, config); // [N, 1 + V, D]
  const prediction = decodeMasked(weights, latent, inputs.patchOrder, config); // [N, M, P]
  const hidden = keepLast(patches, patches.shape[1] ?? 0, config.visible); // [N, M, P]
  const target = config.normPixLoss ? standardisePatches(hidden) : hidden;
  return { prediction, target, patches, imageMean: mean, imageStdDev: stdDev };
}

/** Mean squared error on masked patches only. */
export function maeLoss({ prediction, target }: Pick<MaeForward, "prediction" | "target">): Tensor {
  return tf.mean(tf.square(tf.sub(prediction, target)));
}

/** The loss, and that of always answering with the mean masked patch. */
export function judged(forward: Pick<MaeForward, "prediction" | "target">): Record<string, Tensor> {
  const mean = tf.mean(forward.target, [0, 1], true); // [1, 1, P]
  return { loss: maeLoss(forward), meanAnswerLoss: tf.mean(tf.square(tf.sub(forward.target, mean))) };
}

/** [N, L, P] in each image's own order. Pixels are no weights: nothing is differentiated through the gather. */
function shuffle(patches: Tensor, patchOrder: Tensor): Tensor {
  const [batch = 0, count = 0, length = 0] = patches.shape;
  const flat = tf.reshape(patches, [batch * count, length]);
  const firsts = Int32Array.from({ length: batch }, (_, image) => image * count);
  const batchOrder = tf.add(patchOrder, tf.tensor(firsts, [batch, 1], "int32")); // counted through the batch
  return tf.reshape(tf.gather(flat, tf.reshape(batchOrder, [batch * count])), [batch, count, length]);
}

/** Positions in each image's own order, [N, L, width]. */
function shuffledPositions(patchOrder: Tensor, encoder: VitConfig, width: number): Tensor {
  const [batch = 0, count = 0] = patchOrder.shape;
  const flat = tf.gather(positions(encoder, width), tf.reshape(patchOrder, [batch * count]));
  return tf.reshape(flat, [batch, count, width]);
}

/** The encoder on visible patches only, [N, L, P] -> [N, 1 + V, D]. */
function encodeVisible(
  weights: ParameterTensors,
  patches: Tensor,
  patchOrder: Tensor,
  { encoder, visible }: MaeConfig,
): Tensor {
  const seen = keepFirst(patches, visible); // [N, V, P]
  const where = keepFirst(shuffledPositions(patchOrder, encoder, encoder.width), visible); // [N, V, D]
  const x = tf.add(embedPatches(weights, seen), where); // [N, V, D]
  return encodeTokens(weights, prependClassToken(weights, x), encoder); // [N, 1 + V, D]
}

/** [class token | visible | mask tokens] through the decoder, [N, 1 + V, D] -> [N, M, P]. */
function decodeMasked(
  weights: ParameterTensors,
  latent: Tensor,
  patchOrder: Tensor,
  { encoder, decoder, visible }: MaeConfig,
): Tensor {
  const [batch = 0] = latent.shape;
  const { width, depth, heads } = decoder;
  const where = shuffledPositions(patchOrder, encoder, width); // [N, L, W]
  const patches = patchCount(encoder);
  const known = tf.add(
    apply(linear, weights, "decoder_embed", latent), // [N, 1 + V, W]
    tf.concat([tf.zeros([batch, 1, width]), keepFirst(where, visible)], 1),
  );
  const masked = addToken(keepLast(where, patches, visible), parameter(weights, "mask_token")); // [N, M, W]
  let x = tf.concat([known, masked], 1); // [N, 1 + L, W]
  for (let i = 0; i < depth - 1; i++) x = block(weights, `decoder_blocks.${i}`, x, heads);
  const last = `decoder_blocks.${depth - 1}`;
  x = mixTokens(weights, last, x, heads);
  // From here on tokens do not meet any more, so only those that count in the loss are worth the work.
  x = mixChannels(weights, last, keepLast(x, 1 + patches, 1 + visible)); // [N, M, W]
  return apply(linear, weights, "decoder_pred", apply(layerNorm, weights, "decoder_norm", x));
}

/** Each patch by its own mean and (unbiased, as in the paper's code) variance, [N, M, P]. */
function standardisePatches(patches: Tensor): Tensor {
  const length = patches.shape.at(-1) ?? 0;
  const centred = tf.sub(patches, tf.mean(patches, -1, true));
  const variance = tf.div(tf.sum(tf.square(centred), -1, true), length - 1);
  return tf.div(centred, tf.sqrt(tf.add(variance, PATCH_VARIANCE_FLOOR)));
}

const keepFirst = (x: Tensor, count: number): Tensor => {
  const [batch = 0, , width = 0] = x.shape;
  return tf.slice(x, [0, 0, 0], [batch, count, width]);
};

const keepLast = (x: Tensor, length: number, from: number): Tensor => {
  const [batch = 0, , width = 0] = x.shape;
  return tf.slice(x, [0, from, 0], [batch, length - from, width]);
};
