/**
 * The Vision Transformer (Dosovitskiy et al. 2021) in the pre-norm form of DeiT and MAE. Weights have timm's names;
 * matrices are [in, out], which is timm's transposed.
 *
 * Letters in shapes: N images, L patches, T tokens, P numbers in a patch, D width, H heads.
 */
import { factorName } from "@consilium/shared/low-rank";
import type { Tensor } from "@tensorflow/tfjs-core";
import { recompute } from "../engine/recompute.ts";
import { addToken, gelu, layerNorm, linear, product, selfAttention } from "../engine/nn.ts";
import * as tf from "../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../engine/types.ts";
import { sinCosPositions, sinCosVolumePositions } from "./positions.ts";
import { gridDepth, gridSize, patchCount, patchLength, type VitConfig } from "./sizes.ts";

const MLP_RATIO = 4;

/** The encoder's weights, in the order of the flat vector. Positions are fixed and not among them. */
export function vitParameters(config: VitConfig): readonly Parameter[] {
  const { width, depth } = config;
  return [
    token("cls_token", width),
    ...linearParameters("patch_embed.proj", patchLength(config), width),
    ...Array.from({ length: depth }, (_, i) => blockParameters(`blocks.${i}`, width)).flat(),
    ...normParameters("norm", width),
  ];
}

export function blockParameters(name: string, width: number): readonly Parameter[] {
  return [
    ...normParameters(`${name}.norm1`, width),
    ...linearParameters(`${name}.attn.qkv`, width, 3 * width),
    ...linearParameters(`${name}.attn.proj`, width, width),
    ...normParameters(`${name}.norm2`, width),
    ...linearParameters(`${name}.mlp.fc1`, width, MLP_RATIO * width),
    ...linearParameters(`${name}.mlp.fc2`, MLP_RATIO * width, width),
  ];
}

export function linearParameters(name: string, inputs: number, outputs: number): readonly Parameter[] {
  return [
    { name: `${name}.weight`, shape: [inputs, outputs], decay: true, learningRateScale: 1 },
    { name: `${name}.bias`, shape: [outputs], decay: false, learningRateScale: 1 },
  ];
}

export function normParameters(name: string, width: number): readonly Parameter[] {
  return [
    { name: `${name}.weight`, shape: [width], decay: false, learningRateScale: 1 },
    { name: `${name}.bias`, shape: [width], decay: false, learningRateScale: 1 },
  ];
}

export function token(name: string, width: number): Parameter {
  return { name, shape: [1, 1, width], decay: false, learningRateScale: 1 };
}

/**
 * @param images [N, imagePx, imagePx, channels], or volumes [N, depthPx * imagePx, imagePx, channels]
 * @returns [N, L, P], patches row by row, of volumes layer by layer; inside a patch (slice,) row, column, channel
 */
export function patchify(images: Tensor, config: VitConfig): Tensor {
  return config.volume === undefined
    ? cutSquares(images, config)
    : patchifyVolumes(images, config, config.volume);
}

/** [N, S, S, channels] -> [N, squares, patchPx * patchPx * channels] */
function cutSquares(images: Tensor, config: VitConfig): Tensor {
  const [batch = 0] = images.shape;
  const grid = gridSize(config);
  const { patchPx, channels } = config;
  const rows = tf.reshape(images, [batch * grid, patchPx, grid, patchPx * channels]);
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [batch, grid * grid, patchPx * patchPx * channels]);
}

/** Each slice is cut like an image, then `patchDepthPx` slices are joined: [N, D S, S, channels] -> [N, L, P]. */
function patchifyVolumes(
  volumes: Tensor,
  config: VitConfig,
  { depthPx, patchDepthPx }: NonNullable<VitConfig["volume"]>,
): Tensor {
  const { imagePx, channels } = config;
  const [batch = 0] = volumes.shape;
  const layers = depthPx / patchDepthPx;
  const slices = tf.reshape(volumes, [batch * depthPx, imagePx, imagePx, channels]);
  const squares = cutSquares(slices, config); // [N D, L / layers, P / patchDepthPx]
  const [, perLayer = 0, length = 0] = squares.shape;
  const joined = tf.reshape(squares, [batch * layers, patchDepthPx, perLayer, length]);
  return tf.reshape(tf.transpose(joined, [0, 2, 1, 3]), [batch, layers * perLayer, patchDepthPx * length]);
}

/** Fixed positions of the patches, [L, D]; the class token's are zero. */
export function positions(config: VitConfig, width = config.width): Tensor {
  const grid = gridSize(config);
  if (config.volume !== undefined) {
    return tf.tensor(sinCosVolumePositions(gridDepth(config), grid, width), [patchCount(config), width]);
  }
  return tf.tensor(sinCosPositions(grid, width), [grid * grid, width]);
}

/**
 * Features of whole images, for downstream tasks and health metrics.
 * @param images [N, imagePx, imagePx, channels], standardised
 * @returns [N, 1 + L, D]: the class token, then the patches row by row
 */
export function encode(parameters: ParameterTensors, images: Tensor, config: VitConfig): Tensor {
  return encodeTokens(parameters, tokensOf(parameters, images, config), config); // [N, 1 + L, D]
}

/**
 * Features on the way up, for decoders that want detail as well as meaning.
 * @param after numbers of blocks from 1, ascending; the last block's features are normalised as in `encode`
 * @returns for each of them [N, 1 + L, D]
 */
export function encodeStages(
  parameters: ParameterTensors,
  images: Tensor,
  config: VitConfig,
  after: readonly number[],
): readonly Tensor[] {
  const { depth, heads } = config;
  const stages: Tensor[] = [];
  let x = tokensOf(parameters, images, config);
  for (let i = 0; i < depth; i++) {
    x = block(parameters, `blocks.${i}`, x, heads);
    if (after.includes(i + 1)) stages.push(i + 1 < depth ? x : apply(layerNorm, parameters, "norm", x));
  }
  return stages;
}

/** The class token and the image's patches, with their positions: [N, 1 + L, D]. */
function tokensOf(parameters: ParameterTensors, images: Tensor, config: VitConfig): Tensor {
  const where = tf.reshape(positions(config), [1, patchCount(config), config.width]); // [1, L, D]
  const x = tf.add(embedPatches(parameters, patchify(images, config)), where); // [N, L, D]
  return prependClassToken(parameters, x);
}

/** [N, T, P] -> [N, T, D] */
export function embedPatches(parameters: ParameterTensors, patches: Tensor): Tensor {
  return apply(linear, parameters, "patch_embed.proj", patches);
}

/** [N, T, D] -> [N, 1 + T, D] */
export function prependClassToken(parameters: ParameterTensors, x: Tensor): Tensor {
  const [batch = 0, , width = 0] = x.shape;
  const cls = addToken(tf.zeros([batch, 1, width]), parameter(parameters, "cls_token")); // [N, 1, D]
  return tf.concat([cls, x], 1);
}

/** All blocks and the last norm, [N, T, D] -> [N, T, D]. Tokens carry their positions already. */
export function encodeTokens(parameters: ParameterTensors, x: Tensor, { depth, heads }: VitConfig): Tensor {
  for (let i = 0; i < depth; i++) x = block(parameters, `blocks.${i}`, x, heads);
  return apply(layerNorm, parameters, "norm", x);
}

/** One pre-norm transformer block, [N, T, D] -> [N, T, D], which the backward pass may compute again. */
export function block(parameters: ParameterTensors, name: string, x: Tensor, heads: number): Tensor {
  const names = [...parameters.keys()].filter((key) => key.startsWith(`${name}.`));
  const mix = recompute((tokens, ...weights) => {
    const own = new Map(names.map((key, i) => [key, weights[i] as Tensor]));
    return mixChannels(own, name, mixTokens(own, name, tokens, heads));
  });
  return mix(x, ...names.map((key) => parameter(parameters, key)));
}

/** The block's first half: tokens look at each other, [N, T, D] -> [N, T, D]. */
export function mixTokens(parameters: ParameterTensors, name: string, x: Tensor, heads: number): Tensor {
  const normed = apply(layerNorm, parameters, `${name}.norm1`, x);
  const qkv = applyLinear(parameters, `${name}.attn.qkv`, normed); // [N, T, 3 D]
  return tf.add(x, applyLinear(parameters, `${name}.attn.proj`, selfAttention(qkv, heads)));
}

/** The block's second half: each token for itself, [N, T, D] -> [N, T, D]. */
export function mixChannels(parameters: ParameterTensors, name: string, x: Tensor): Tensor {
  const normed = apply(layerNorm, parameters, `${name}.norm2`, x);
  const hidden = gelu(applyLinear(parameters, `${name}.mlp.fc1`, normed)); // [N, T, 4 D]
  return tf.add(x, applyLinear(parameters, `${name}.mlp.fc2`, hidden));
}

/** A linear layer; where its matrix is of low rank, with what its factors add. */
export function applyLinear(parameters: ParameterTensors, name: string, x: Tensor): Tensor {
  const y = apply(linear, parameters, name, x);
  const weight = `${name}.weight`;
  const drawn = parameters.get(drawnName(weight));
  return drawn === undefined ? y : tf.add(y, product(x, drawn, parameter(parameters, factorName(weight))));
}

/** At a site, of the factor of a matrix of low rank that is not trained. */
export const drawnName = (weight: string): string => `${weight}.drawn`;

/** Calls a layer with the weight and bias of that name. */
export function apply(
  layer: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor,
  parameters: ParameterTensors,
  name: string,
  x: Tensor,
): Tensor {
  return layer(x, parameter(parameters, `${name}.weight`), parameter(parameters, `${name}.bias`));
}

/** @throws Error if the model has no such weight: a mistake in code, not in data. */
export function parameter(parameters: ParameterTensors, name: string): Tensor {
  const tensor = parameters.get(name);
  if (tensor === undefined) throw new Error(`the model has no weight ${name}`);
  return tensor;
}
