/**
 * Segmentation from the encoder's tokens: one independent probability per class and pixel or voxel, so classes may overlap.
 *
 * Two heads. `linear` makes each token's patch from the token alone: as coarse as the features, and a measure of them.
 * `unetr` is UNETR's decoder (Hatamizadeh et al. 2022, figure 2): features of several blocks, each enlarged to its place in a
 * pyramid, are merged from coarse to fine and last with the image itself. LayerNorm over channels takes the place of batch
 * normalisation, which would leak statistics.
 *
 * A volume is the stack of its slices, one after the other along the first axis, so that no tensor has five dimensions and
 * every operation has its gradient on every device. Convolutions of volumes come in two parts, within a slice and across
 * slices, as in R(2+1)D (Tran et al. 2018).
 *
 * Letters in shapes: N images, Z slices of one (1 for images), S side of the image, g side of the grid of patches, D width,
 * C classes.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, layerNorm, linear } from "../../engine/nn.ts";
import * as tf from "../../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../../engine/types.ts";
import { gridDepth, gridSize, patchCount, type VitConfig } from "../../model/sizes.ts";
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
  const { width, channels } = config;
  if (head === "linear") return upsampleParameters("head", width, patchOf(config), classes);
  const levels = pyramid(config);
  const isVolume = config.volume !== undefined;
  return [
    ...levels.flatMap(({ name, block, by, from, to }, level) => [
      ...upsampleParameters(`${name}.up`, from, by, to),
      ...(block === null
        ? convolutionParameters(`${name}.skip.0`, channels, to, isVolume)
        : levels
            .slice(0, level + 1)
            .flatMap((passed, i) =>
              upsampleParameters(`${name}.skip.${i}`, i === 0 ? width : to, passed.by, to),
            )),
      ...convolutionParameters(`${name}.merge`, 2 * to, to, isVolume),
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
 * @param images [N, Z S, S, channels], standardised: slices of a volume below each other
 * @returns logits [N, Z S, S, C]
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
      onGrid(tokens, config), // [N layers, g, g, D]
    ]),
  );
  const stage = (block: number): Tensor => {
    const tokens = stages.get(block);
    if (tokens === undefined) throw new Error(`no features of block ${block}`);
    return tokens;
  };
  const asImages = (x: Tensor): Tensor => tf.reshape(x, [...images.shape.slice(0, 3), x.shape[3] ?? 0]);
  let x = stage(config.depth);
  if (head === "linear") return asImages(upsample(parameters, "head", x, patchOf(config)));
  let slices = gridDepth(config);
  for (const [level, { name, block, by }] of levels.entries()) {
    x = upsample(parameters, `${name}.up`, x, by);
    slices *= by.slices;
    let skip =
      block === null ? convolve(parameters, `${name}.skip.0`, inSlices(images), slices) : stage(block);
    if (block !== null) {
      for (const [i, passed] of levels.slice(0, level + 1).entries()) {
        skip = upsample(parameters, `${name}.skip.${i}`, skip, passed.by);
      }
    }
    x = convolve(parameters, `${name}.merge`, tf.concat([x, skip], 3), slices);
  }
  return asImages(apply(linear, parameters, "head", x)); // [N, Z S, S, C]
}

/**
 * Cross-entropy of each pixel plus 1 - soft Dice of each class over the batch (Milletari et al. 2016, with the plain sum
 * below the line): the one is smooth everywhere, the other does not care how small a class is.
 * @param logits [N, Z S, S, C]
 * @param coverage [N, Z S, S, C], 0 to 1
 * @param known [N, C]: 0 where nobody looked for a class, which has no part in the loss then; else 1
 */
export function segmentationLoss(logits: Tensor, coverage: Tensor, known: Tensor): Tensor {
  const [batch = 0, , , classes = 0] = logits.shape;
  const each = tf.mean(tf.sub(tf.softplus(logits), tf.mul(logits, coverage)), [1, 2]); // [N, C]
  const entropy = tf.div(tf.sum(tf.mul(each, known)), tf.maximum(tf.sum(known), 1));
  const probabilities = tf.sigmoid(logits);
  const asked = tf.reshape(known, [batch, 1, 1, classes]);
  const overlap = tf.sum(tf.mul(tf.mul(probabilities, coverage), asked), [0, 1, 2]); // [C]
  const total = tf.sum(tf.mul(tf.add(probabilities, coverage), asked), [0, 1, 2]); // [C]
  const dice = tf.div(tf.add(tf.mul(overlap, 2), 1), tf.add(total, 1));
  return tf.add(entropy, tf.sub(1, tf.mean(dice)));
}

const fineChannels = ({ width }: Pick<VitConfig, "width">): number => Math.min(FINE_CHANNELS, width);

/** How many places a place becomes: along both sides of a slice, and across slices. */
interface Factors {
  readonly sides: number;
  readonly slices: number;
}

const patchOf = ({ patchPx, volume }: VitConfig): Factors => ({
  sides: patchPx,
  slices: volume?.patchDepthPx ?? 1,
});

/** One doubling of the resolution, from coarse to fine. */
interface Level {
  readonly name: string;
  /** The encoder's block whose features are merged in, after all doublings down to this level; null for the image. */
  readonly block: number | null;
  readonly by: Factors;
  readonly from: number;
  readonly to: number;
}

/**
 * As many levels as the patch can be halved; the blocks are evenly spread, the deepest at the coarsest. Slices, of which a patch
 * has fewer, are doubled at the finest levels: the others cost less so.
 */
function pyramid({ depth, width, patchPx, volume }: VitConfig): readonly Level[] {
  const count = Math.log2(patchPx);
  const ofSlices = Math.log2(volume?.patchDepthPx ?? 1);
  if (!Number.isInteger(count) || count < 1) {
    throw new ConsiliumError("config.invalid", {
      detail: `(the unetr head wants patches of 2, 4, 8 or 16 px, not ${patchPx}; take --head linear)`,
      culprits: ["head"],
    });
  }
  if (!Number.isInteger(ofSlices) || ofSlices > count) {
    throw new ConsiliumError("config.invalid", {
      detail:
        "(the unetr head wants patches of 1, 2, 4, 8 or 16 slices, and no more slices than pixels; take --head linear)",
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
      by: { sides: 2, slices: i >= count - ofSlices ? 2 : 1 },
      from: channelsAt(i),
      to: channelsAt(i + 1),
    };
  });
}

/** [N, 1 + L, D] -> [N layers, g, g, D], without the class token. */
function onGrid(tokens: Tensor, config: VitConfig): Tensor {
  const [batch = 0, , width = 0] = tokens.shape;
  const grid = gridSize(config);
  const patches = tf.slice(tokens, [0, 1, 0], [batch, patchCount(config), width]);
  return tf.reshape(patches, [batch * gridDepth(config), grid, grid, width]);
}

/** [N, Z S, S, channels] -> [N Z, S, S, channels] */
function inSlices(images: Tensor): Tensor {
  const [batch = 0, height = 0, width = 1, channels = 0] = images.shape;
  return tf.reshape(images, [(batch * height) / width, width, width, channels]);
}

const upsampleParameters = (name: string, from: number, by: Factors, to: number): readonly Parameter[] =>
  linearParameters(name, from, by.slices * by.sides ** 2 * to);

/**
 * A transposed convolution whose kernel is as large as its stride: every place becomes slices x sides x sides places, each a
 * linear map of it. [N Z, h, w, from] -> [N Z slices, sides h, sides w, to]
 */
function upsample(parameters: ParameterTensors, name: string, x: Tensor, { sides, slices }: Factors): Tensor {
  const [stack = 0, height = 0, width = 0] = x.shape;
  const places = apply(linear, parameters, name, x); // [N Z, h, w, slices sides sides to]
  const channels = (places.shape[3] ?? 0) / (slices * sides ** 2);
  const batch = stack * slices;
  const split = tf.reshape(spread(places, slices), [batch * height, width, sides, sides * channels]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [batch, height * sides, width * sides, channels]);
}

/** [Z, h, w, slices c] -> [Z slices, h, w, c], in memory. */
function spread(places: Tensor, slices: number): Tensor {
  if (slices === 1) return places;
  const [stack = 0, height = 0, width = 0, channels = 0] = places.shape;
  return tf.transpose(tf.reshape(places, [stack, height * width, slices, channels / slices]), [0, 2, 1, 3]);
}

function convolutionParameters(
  name: string,
  from: number,
  to: number,
  isVolume: boolean,
): readonly Parameter[] {
  const filter = (own: string, shape: readonly number[]): Parameter => ({
    name: own,
    shape,
    decay: true,
    learningRateScale: 1,
  });
  return [
    filter(`${name}.weight`, [3, 3, from, to]),
    ...(isVolume ? [filter(`${name}.across.weight`, [3, 1, to, to])] : []),
    ...normParameters(`${name}.norm`, to),
  ];
}

/** 3 x 3 convolution, of volumes then one over 3 slices; LayerNorm over channels, GELU: [N Z, h, w, from] -> [N Z, h, w, to] */
function convolve(parameters: ParameterTensors, name: string, x: Tensor, slices: number): Tensor {
  const filter = parameter(parameters, `${name}.weight`) as tf.Tensor4D;
  const y = tf.conv2d(x as tf.Tensor4D, filter, 1, "same");
  const across = parameters.get(`${name}.across.weight`);
  const mixed = across === undefined ? y : convolveAcross(y, across as tf.Tensor4D, slices);
  return gelu(apply(layerNorm, parameters, `${name}.norm`, mixed));
}

/** Each place with those above and below it: the slices of a volume are the rows of a picture, their places its columns. */
function convolveAcross(x: tf.Tensor4D, filter: tf.Tensor4D, slices: number): Tensor {
  const [stack, height, width, channels] = x.shape;
  const columns = tf.reshape<tf.Rank.R4>(x, [stack / slices, slices, height * width, channels]);
  return tf.reshape(tf.conv2d(columns, filter, 1, "same"), x.shape);
}
