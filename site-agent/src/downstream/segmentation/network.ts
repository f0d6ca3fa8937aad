/**
 * Segmentation from the encoder's tokens: one independent probability per class and pixel, so classes may overlap.
 *
 * Two heads. `linear` makes each token's patch from the token alone: as coarse as the features, and a measure of them.
 * `unetr` is UNETR's decoder in two dimensions (Hatamizadeh et al. 2022, figure 2): features of several blocks, each
 * enlarged to its place in a pyramid, are merged from coarse to fine and last with the image itself. LayerNorm over channels
 * takes the place of batch normalisation, which would leak statistics.
 *
 * Letters in shapes: N images, S side of the image, g side of the grid of patches, D width, C classes.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, layerNorm, linear } from "../../engine/nn.ts";
import * as tf from "../../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../../engine/types.ts";
import { gridSize, patchCount, type VitConfig } from "../../model/sizes.ts";
import { apply, encodeStages, linearParameters, normParameters, parameter } from "../../model/vit.ts";
import { initialHead } from "../layers.ts";

export const SEGMENTATION_HEADS = ["linear", "unetr"] as const;
export type SegmentationHead = (typeof SEGMENTATION_HEADS)[number];

/** Small, so that the first predictions are even. */
const LAST_STD_DEV = 0.01;
/** Channels at the image's own resolution, if the encoder is not narrower; each step down doubles them. */
const FINE_CHANNELS = 16;
const MOST_CHANNELS = 128;

/** The head's weights, in the order of the flat vector. @throws config.invalid if unetr cannot halve the patch down to 1 */
export function segmentationParameters(
  config: VitConfig,
  head: SegmentationHead,
  classes: number,
): readonly Parameter[] {
  const { width, patchPx, channels } = config;
  if (head === "linear") return linearParameters("head", width, patchPx ** 2 * classes);
  const levels = pyramid(config);
  return [
    ...levels.flatMap(({ name, from, to, skipDoublings }) => [
      ...upsampleParameters(`${name}.up`, from, 2, to),
      ...(skipDoublings === 0
        ? convolutionParameters(`${name}.skip.0`, channels, to)
        : Array.from({ length: skipDoublings }, (_, i) =>
            upsampleParameters(`${name}.skip.${i}`, i === 0 ? width : to, 2, to),
          ).flat()),
      ...convolutionParameters(`${name}.merge`, 2 * to, to),
    ]),
    ...linearParameters("head", fineChannels(config), classes),
  ];
}

/** He et al. 2015 for what feeds a non-linearity, near nothing for the last layer. */
export function initialSegmentationHead(
  config: VitConfig,
  head: SegmentationHead,
  classes: number,
  seed: number,
): Float32Array {
  const stdDev = ({ name }: Parameter, fanIn: number): number =>
    name === "head.weight" ? LAST_STD_DEV : Math.sqrt(2 / fanIn);
  return initialHead(segmentationParameters(config, head, classes), { stdDev, bias: () => 0 }, seed);
}

/**
 * @param images [N, S, S, channels], standardised
 * @returns logits [N, S, S, C]
 */
export function segment(
  parameters: ParameterTensors,
  images: Tensor,
  config: VitConfig,
  head: SegmentationHead,
): Tensor {
  const levels = head === "unetr" ? pyramid(config) : [];
  const skips = levels.flatMap(({ block }) => (block === null ? [] : [block]));
  const blocks = [...new Set([...skips, config.depth])].sort((a, b) => a - b);
  const stages = new Map(
    encodeStages(parameters, images, config, blocks).map((tokens, i) => [
      blocks[i],
      onGrid(tokens, config), // [N, g, g, D]
    ]),
  );
  const stage = (block: number): Tensor => {
    const tokens = stages.get(block);
    if (tokens === undefined) throw new Error(`no features of block ${block}`);
    return tokens;
  };
  let x = stage(config.depth);
  if (head === "linear") return upsample(parameters, "head", x, config.patchPx);
  for (const { name, block, skipDoublings } of levels) {
    x = upsample(parameters, `${name}.up`, x, 2);
    let skip = block === null ? convolve(parameters, `${name}.skip.0`, images) : stage(block);
    for (let i = 0; i < skipDoublings; i++) skip = upsample(parameters, `${name}.skip.${i}`, skip, 2);
    x = convolve(parameters, `${name}.merge`, tf.concat([x, skip], 3));
  }
  return apply(linear, parameters, "head", x); // [N, S, S, C]
}

/**
 * Cross-entropy of each pixel plus 1 - soft Dice of each class over the batch (Milletari et al. 2016, with the plain sum
 * below the line): the one is smooth everywhere, the other does not care how small a class is.
 * @param logits [N, S, S, C]
 * @param coverage [N, S, S, C], 0 to 1
 */
export function segmentationLoss(logits: Tensor, coverage: Tensor): Tensor {
  const entropy = tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, coverage)));
  const probabilities = tf.sigmoid(logits);
  const overlap = tf.sum(tf.mul(probabilities, coverage), [0, 1, 2]); // [C]
  const total = tf.sum(tf.add(probabilities, coverage), [0, 1, 2]); // [C]
  const dice = tf.div(tf.add(tf.mul(overlap, 2), 1), tf.add(total, 1));
  return tf.add(entropy, tf.sub(1, tf.mean(dice)));
}

const fineChannels = ({ width }: Pick<VitConfig, "width">): number => Math.min(FINE_CHANNELS, width);

/** One doubling of the resolution, from coarse to fine. */
interface Level {
  readonly name: string;
  /** The encoder's block whose features are merged in; null for the image. */
  readonly block: number | null;
  /** How often those features are doubled on the way. */
  readonly skipDoublings: number;
  readonly from: number;
  readonly to: number;
}

/** As many levels as the patch can be halved; the blocks are evenly spread, the deepest at the coarsest. */
function pyramid({ depth, width, patchPx }: VitConfig): readonly Level[] {
  const count = Math.log2(patchPx);
  if (!Number.isInteger(count) || count < 1) {
    throw new ConsiliumError("config.invalid", {
      detail: `(the unetr head wants patches of 2, 4, 8 or 16 px, not ${patchPx}; take --head linear)`,
      culprits: ["head"],
    });
  }
  const channelsAt = (level: number): number =>
    level === 0 ? width : Math.min(MOST_CHANNELS, fineChannels({ width }) * 2 ** (count - level));
  return Array.from({ length: count }, (_, i) => {
    const last = i + 1 === count;
    return {
      name: `decoder.${i}`,
      block: last ? null : Math.max(1, Math.round((depth * (count - 1 - i)) / count)),
      skipDoublings: last ? 0 : i + 1,
      from: channelsAt(i),
      to: channelsAt(i + 1),
    };
  });
}

/** [N, 1 + L, D] -> [N, g, g, D], without the class token. */
function onGrid(tokens: Tensor, config: VitConfig): Tensor {
  const [batch = 0, , width = 0] = tokens.shape;
  const grid = gridSize(config);
  const patches = tf.slice(tokens, [0, 1, 0], [batch, patchCount(config), width]);
  return tf.reshape(patches, [batch, grid, grid, width]);
}

const upsampleParameters = (name: string, from: number, factor: number, to: number): readonly Parameter[] =>
  linearParameters(name, from, factor ** 2 * to);

/**
 * A transposed convolution whose kernel is as large as its stride: every place becomes factor x factor places, each a
 * linear map of it. [N, h, w, from] -> [N, factor h, factor w, to]
 */
function upsample(parameters: ParameterTensors, name: string, x: Tensor, factor: number): Tensor {
  const [batch = 0, height = 0, width = 0] = x.shape;
  const places = apply(linear, parameters, name, x); // [N, h, w, factor factor to]
  const channels = (places.shape[3] ?? 0) / factor ** 2;
  const split = tf.reshape(places, [batch * height, width, factor, factor * channels]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [batch, height * factor, width * factor, channels]);
}

function convolutionParameters(name: string, from: number, to: number): readonly Parameter[] {
  return [
    { name: `${name}.weight`, shape: [3, 3, from, to], decay: true, learningRateScale: 1 },
    ...normParameters(`${name}.norm`, to),
  ];
}

/** 3 x 3 convolution, LayerNorm over channels, GELU: [N, h, w, from] -> [N, h, w, to] */
function convolve(parameters: ParameterTensors, name: string, x: Tensor): Tensor {
  const filter = parameter(parameters, `${name}.weight`) as tf.Tensor4D;
  const y = tf.conv2d(x as tf.Tensor4D, filter, 1, "same");
  return gelu(apply(layerNorm, parameters, `${name}.norm`, y));
}
