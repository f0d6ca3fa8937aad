/**
 * Boxes from the encoder's tokens, without anchors: every token says for each class whether a box is centred on it, and how
 * the box lies. Heat maps as in CenterNet (Zhou et al. 2019), boxes learned on every token near a centre as in TTFNet (Liu
 * et al. 2020). Two boxes of one class need different tokens.
 *
 * Letters in shapes: N images, L patches, D width, C classes.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, linear } from "../../engine/nn.ts";
import * as tf from "../../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../../engine/types.ts";
import { assertOfImages, gridSize, patchCount, type VitConfig } from "../../model/sizes.ts";
import { apply, encode, linearParameters } from "../../model/vit.ts";
import { initialHead } from "../layers.ts";

const LAST_STD_DEV = 0.01;
/** Each token's first guess that a box is centred on it: rare, so that the many tokens without one weigh little. */
const RARE = 0.05;
/** Sides of a box in units of a patch lie within e^-LARGEST .. e^LARGEST. */
const LARGEST = 5;
/** CenterNet's: sure tokens count less, and so do tokens beside a centre. */
const FOCUS = 2;
const NEARNESS = 4;
/** Weight of the boxes' loss beside that of the heat map. */
const BOX_WEIGHT = 2;

/** @throws model.of-volumes: boxes are of images */
export function localizationParameters(config: VitConfig, classes: number): readonly Parameter[] {
  assertOfImages(config);
  const { width } = config;
  return [
    ...linearParameters("head.hidden", width, width),
    ...linearParameters("head.heat", width, classes),
    ...linearParameters("head.box", width, 4),
  ];
}

export function initialLocalizationHead(config: VitConfig, classes: number, seed: number): Float32Array {
  return initialHead(
    localizationParameters(config, classes),
    {
      stdDev: ({ name }, fanIn) => (name === "head.hidden.weight" ? Math.sqrt(2 / fanIn) : LAST_STD_DEV),
      bias: ({ name }) => (name === "head.heat.bias" ? Math.log(RARE / (1 - RARE)) : 0),
    },
    seed,
  );
}

export interface Located {
  /** Logits [N, L, C]. */
  readonly heat: Tensor;
  /** [N, L, 4]: left, top, right, bottom in pixels of the view. */
  readonly boxes: Tensor;
}

/** @param images [N, imagePx, imagePx, channels], standardised */
export function locate(parameters: ParameterTensors, images: Tensor, config: VitConfig): Located {
  const tokens = encode(parameters, images, config); // [N, 1 + L, D]
  const [batch = 0, , width = 0] = tokens.shape;
  const patches = tf.slice(tokens, [0, 1, 0], [batch, patchCount(config), width]); // [N, L, D]
  const hidden = gelu(apply(linear, parameters, "head.hidden", patches));
  return {
    heat: apply(linear, parameters, "head.heat", hidden),
    boxes: boxesOf(apply(linear, parameters, "head.box", hidden), config),
  };
}

/** From shifts of the centre and logarithms of the sides, all in units of a patch, to borders. [N, L, 4] -> [N, L, 4] */
function boxesOf(raw: Tensor, config: VitConfig): Tensor {
  const [batch = 0, patches = 0] = raw.shape;
  const { patchPx } = config;
  const shift = tf.slice(raw, [0, 0, 0], [batch, patches, 2]);
  const logSides = tf.clipByValue(tf.slice(raw, [0, 0, 2], [batch, patches, 2]), -LARGEST, LARGEST);
  const centres = tf.add(tf.mul(shift, patchPx), patchCentres(config)); // [N, L, 2]
  const halves = tf.mul(tf.exp(logSides), patchPx / 2);
  return tf.concat([tf.sub(centres, halves), tf.add(centres, halves)], 2);
}

/** x and y of the middle of each patch, [1, L, 2]. */
function patchCentres(config: VitConfig): Tensor {
  const grid = gridSize(config);
  const middle = (i: number): number => (i + 0.5) * config.patchPx;
  const values = Array.from({ length: grid ** 2 }, (_, i) => [
    middle(i % grid),
    middle(Math.floor(i / grid)),
  ]);
  return tf.tensor(values.flat(), [1, grid ** 2, 2]);
}

export interface LocationTargets {
  /** [N, L, C]: 1 where a box is centred, less beside it. */
  readonly heat: Tensor;
  /** [N, L, 4]: the box that a token is near to. */
  readonly boxes: Tensor;
  /** [N, L]: how near, 0 where there is none. */
  readonly nearness: Tensor;
  /** [N, C]: 0 where nobody looked for a class, which has no part in the loss then; else 1. */
  readonly known: Tensor;
}

/** CenterNet's heat map loss (equation 1) by box, plus 1 - GIoU (Rezatofighi et al. 2019) by nearness. */
export function localizationLoss({ heat, boxes }: Located, targets: LocationTargets): Tensor {
  const centres = tf.cast(tf.greaterEqual(targets.heat, 1), "float32"); // [N, L, C]
  const sure = tf.sigmoid(heat);
  const found = tf.mul(centres, tf.mul(tf.pow(tf.sub(1, sure), FOCUS), tf.softplus(tf.neg(heat))));
  const quiet = tf.mul(
    tf.mul(tf.sub(1, centres), tf.pow(tf.sub(1, targets.heat), NEARNESS)),
    tf.mul(tf.pow(sure, FOCUS), tf.softplus(heat)),
  );
  const [batch = 0, classes = 0] = targets.known.shape;
  const asked = tf.reshape(targets.known, [batch, 1, classes]);
  const heatLoss = tf.div(tf.sum(tf.mul(tf.add(found, quiet), asked)), tf.maximum(tf.sum(centres), 1));
  const misfit = tf.mul(targets.nearness, tf.sub(1, giou(boxes, targets.boxes)));
  const boxLoss = tf.div(tf.sum(misfit), tf.maximum(tf.sum(targets.nearness), 1e-3));
  return tf.add(heatLoss, tf.mul(boxLoss, BOX_WEIGHT));
}

/** [N, L, 4] and [N, L, 4] -> [N, L]: IoU, less the share of the common frame that neither covers; -1 to 1. */
export function giou(a: Tensor, b: Tensor): Tensor {
  const [startA, endA] = corners(a);
  const [startB, endB] = corners(b);
  const common = spread(tf.maximum(startA, startB), tf.minimum(endA, endB));
  const frame = spread(tf.minimum(startA, startB), tf.maximum(endA, endB));
  const covered = tf.sub(tf.add(spread(startA, endA), spread(startB, endB)), common);
  const iou = tf.div(common, tf.add(covered, 1e-6));
  return tf.sub(iou, tf.div(tf.sub(frame, covered), tf.add(frame, 1e-6)));
}

function corners(boxes: Tensor): readonly [Tensor, Tensor] {
  const [batch = 0, patches = 0] = boxes.shape;
  const size = [batch, patches, 2];
  return [tf.slice(boxes, [0, 0, 0], size), tf.slice(boxes, [0, 0, 2], size)];
}

/** Area between two corners, [N, L]; 0 where they are the wrong way round. */
function spread(start: Tensor, end: Tensor): Tensor {
  const sides = tf.relu(tf.sub(end, start)); // [N, L, 2]
  const [batch = 0, patches = 0] = sides.shape;
  const [x, y] = [0, 1].map((axis) => tf.slice(sides, [0, 0, axis], [batch, patches, 1])) as [Tensor, Tensor];
  return tf.reshape(tf.mul(x, y), [batch, patches]);
}
