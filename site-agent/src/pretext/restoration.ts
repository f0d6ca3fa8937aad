/**
 * Restoration (Models Genesis, Zhou et al. 2021): an image is distorted, and encoder and a small decoder shall give it back
 * whole. Unlike in a masked autoencoder the encoder sees all patches, as it will downstream.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import { recordBytes } from "../dataset/types.ts";
import type { Random } from "../dataset/random.ts";
import { layerNorm, linear } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type { InputArrays, InputTensors, Parameter, ParameterTensors } from "../engine/types.ts";
import { standardise } from "../model/images.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { assertTransformer, patchCount, patchLength, type VitConfig } from "../model/sizes.ts";
import {
  apply,
  block,
  blockParameters,
  encode,
  linearParameters,
  normParameters,
  patchify,
  positions,
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
} from "../model/crop-inputs.ts";
import { bend, CURVE_LENGTH, randomBezierCurve, STRAIGHT } from "./curves.ts";
import { paintedPixels, shuffledPixels, type PixelBox } from "./distortions.ts";
import { judged, maeLoss } from "./mae.ts";
import { allShared } from "./sharing.ts";
import type { PretextTask } from "./types.ts";
import { randomBytes } from "./views.ts";

export type RestorationSettings = Extract<Plan["pretext"], { readonly task: "restoration" }>;

export type RestorationInputs = CropInputs & {
  readonly curves: Input<"float32">;
  /** From where each pixel of an image takes its value. */
  readonly pixelOrder: Input<"int32">;
  /** 1 where a pixel is painted over. */
  readonly painted: Input<"uint8">;
  /** With what. */
  readonly paint: Input<"uint8">;
};

/** @throws plan.invalid if a width does not fit its heads */
export function restorationTask(
  plan: Plan,
  settings: RestorationSettings,
  encoder: VitConfig,
): PretextTask<RestorationInputs> {
  assertTransformer("model", encoder);
  assertTransformer("pretext.decoder", settings.decoder);
  const parameters = allShared(restorationParameters(encoder, settings));
  const cache = cachedBox(plan);
  const bytes = recordBytes({ ...cache, channels: encoder.channels });
  return {
    name: "restoration",
    parameters,
    inputs: (examples) => restorationInputs(encoder, cache, examples),
    loss: (weights, inputs) => ({ loss: maeLoss(restore(weights, inputs, encoder, settings)) }),
    judge: (weights, inputs) => judged(restore(weights, inputs, encoder, settings)),
    // The mean over all pixels is the mean over images.
    separable: true,
    initialWeights: (seed) => initialWeights(parameters, seed),
    prepare: (images, random) => {
      const count = images.length / bytes;
      const crops = randomCrops(encoder, cache, settings, count, random);
      return {
        images,
        ...cropArrays(encoder, cache, crops),
        ...distortions(encoder, settings, count, random),
      };
    },
  };
}

const restorationParameters = (
  encoder: VitConfig,
  { decoder: { width, depth } }: RestorationSettings,
): readonly Parameter[] => [
  ...vitParameters(encoder),
  ...linearParameters("decoder_embed", encoder.width, width),
  ...Array.from({ length: depth }, (_, i) => blockParameters(`decoder_blocks.${i}`, width)).flat(),
  ...normParameters("decoder_norm", width),
  ...linearParameters("decoder_pred", width, patchLength(encoder)),
];

const boxOf = ({ imagePx, volume }: VitConfig): PixelBox => ({
  sizePx: imagePx,
  depthPx: volume?.depthPx ?? 1,
});

function restorationInputs(encoder: VitConfig, cache: CachedBox, batch: number): RestorationInputs {
  const { sizePx, depthPx } = boxOf(encoder);
  const pixels = [batch, depthPx * sizePx ** 2];
  return {
    ...cropInputs(encoder, cache, batch),
    curves: { shape: [batch, CURVE_LENGTH], dtype: "float32" },
    pixelOrder: { shape: pixels, dtype: "int32" },
    painted: { shape: pixels, dtype: "uint8" },
    paint: { shape: pixels, dtype: "uint8" },
  };
}

function distortions(
  encoder: VitConfig,
  { curveRate, shuffleRate, paintRate, inpaintShare }: RestorationSettings,
  count: number,
  random: Random,
): Pick<InputArrays<RestorationInputs>, "curves" | "pixelOrder" | "painted" | "paint"> {
  const box = boxOf(encoder);
  const pixels = box.depthPx * box.sizePx ** 2;
  const curves = new Float32Array(count * CURVE_LENGTH);
  const pixelOrder = new Int32Array(count * pixels);
  const painted = new Uint8Array(count * pixels);
  for (let image = 0; image < count; image++) {
    curves.set(random.uniform() < curveRate ? randomBezierCurve(random) : STRAIGHT, image * CURVE_LENGTH);
    pixelOrder.set(shuffledPixels(box, random.uniform() < shuffleRate, random), image * pixels);
    if (random.uniform() >= paintRate) continue;
    const where = random.uniform() < inpaintShare ? "inside" : "outside";
    painted.set(paintedPixels(box, where, random), image * pixels);
  }
  return { curves, pixelOrder, painted, paint: randomBytes(count * pixels, random) };
}

/** Both in units of each image's standard deviation, [N, L, P]; the loss is their mean squared difference. */
function restore(
  weights: ParameterTensors,
  inputs: InputTensors<RestorationInputs>,
  encoder: VitConfig,
  settings: RestorationSettings,
): { readonly prediction: Tensor; readonly target: Tensor } {
  const whole = seen(inputs); // [N, S, S, channels]
  const target = patchify(standardise(whole).images, encoder); // [N, L, P]
  const { images } = standardise(distort(whole, inputs)); // [N, S, S, channels]
  const tokens = encode(weights, images, encoder); // [N, 1 + L, D]
  return { prediction: decode(weights, tokens, encoder, settings), target };
}

/** Bent, shuffled, painted: [N, S, S, channels] of 0 to 255, as it comes. */
function distort(whole: Tensor, inputs: InputTensors<RestorationInputs>): Tensor {
  const [batch = 0, height = 0, width = 0, channels = 1] = whole.shape;
  const pixels = height * width;
  const bent = tf.mul(bend(tf.div(whole, 255), inputs.curves), 255);
  const firsts = Int32Array.from({ length: batch }, (_, image) => image * pixels);
  const order = tf.add(inputs.pixelOrder, tf.tensor(firsts, [batch, 1], "int32")); // counted through the batch
  const shuffled = tf.gather(
    tf.reshape(bent, [batch * pixels, channels]),
    tf.reshape(order, [batch * pixels]),
  );
  const over = tf.reshape(inputs.painted, [batch * pixels, 1]);
  const paint = tf.reshape(inputs.paint, [batch * pixels, 1]);
  const distorted = tf.add(shuffled, tf.mul(over, tf.sub(paint, shuffled)));
  return tf.reshape(distorted, [batch, height, width, channels]);
}

/** [N, 1 + L, D] -> [N, L, P] */
function decode(
  weights: ParameterTensors,
  tokens: Tensor,
  encoder: VitConfig,
  { decoder: { width, depth, heads } }: RestorationSettings,
): Tensor {
  const [batch = 0, , length = 0] = tokens.shape;
  const patches = patchCount(encoder);
  const where = tf.reshape(positions(encoder, width), [1, patches, width]);
  const ofPatches = tf.slice(tokens, [0, 1, 0], [batch, patches, length]); // [N, L, D]
  let x = tf.add(apply(linear, weights, "decoder_embed", ofPatches), where); // [N, L, W]
  for (let i = 0; i < depth; i++) x = block(weights, `decoder_blocks.${i}`, x, heads);
  return apply(linear, weights, "decoder_pred", apply(layerNorm, weights, "decoder_norm", x));
}
