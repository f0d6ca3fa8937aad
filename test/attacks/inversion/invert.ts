/**
 * Gradient inversion of a masked autoencoder by a coordinator that chooses the weights (Boenisch et al. 2021, "When the Curious
 * Abandon Honesty"; Fowl et al. 2021, "Robbing the Fed"): from the gradient of one step back to the patches that were hidden.
 *
 * Of the decoder's last linear layer, prediction = features * w, the gradient by w is 2 / (N M P) * features^T (prediction - patch),
 * summed over all hidden patches. A base whose decoder looks at nothing makes it easy: with `attn.proj` and w at zero, predictions are
 * zero and the features of a hidden patch follow from its position alone, the same in every image. As many patches as the decoder
 * is wide then follow from linear equations, exactly. Images that are summed hide the same position behind each other.
 *
 * Which patches are hidden follows from the plan's seed, which the coordinator knows.
 */
import type { Tensor } from "@tensorflow/tfjs-core";
import { elementCount } from "@consilium/shared/manifest";
import { cropMatrices, wholeImage } from "../../../site-agent/src/dataset/crops.ts";
import { Random } from "../../../site-agent/src/dataset/random.ts";
import { layerNorm } from "../../../site-agent/src/engine/nn.ts";
import * as tf from "../../../site-agent/src/engine/tf.ts";
import type { InputTensors } from "../../../site-agent/src/engine/types.ts";
import { initialWeights } from "../../../site-agent/src/model/initial-weights.ts";
import { sinCosPositions } from "../../../site-agent/src/model/positions.ts";
import { gridSize, patchCount, patchLength } from "../../../site-agent/src/model/sizes.ts";
import { apply, mixChannels } from "../../../site-agent/src/model/vit.ts";
import {
  maeForward,
  maeLoss,
  maeParameters,
  type MaeConfig,
  type MaeInputs,
} from "../../../site-agent/src/pretext/mae.ts";
import { leastSquares, matrix } from "./solve.ts";

const LAST_LAYER = "decoder_pred.weight";
const DOES_NOTHING = /^decoder_(blocks\..*attn\.proj|pred)\.(weight|bias)$/;

/** The initial model with a decoder whose tokens do not look at each other, by name. */
export function craftedWeights(config: MaeConfig, seed: number): ReadonlyMap<string, Float32Array> {
  const flat = initialWeights(maeParameters(config), seed);
  let end = 0;
  return new Map(
    maeParameters(config).map(({ name, shape }) => {
      const start = end;
      end += elementCount(shape);
      return [name, DOES_NOTHING.test(name) ? new Float32Array(end - start) : flat.slice(start, end)];
    }),
  );
}

/** Each image's patches, shuffled: the first V are seen, the others hidden. [N, L] */
export function patchOrders({ encoder }: MaeConfig, images: number, seed: number): Int32Array {
  const random = new Random(seed);
  const patches = patchCount(encoder);
  const orders = new Int32Array(images * patches);
  for (let image = 0; image < images; image++) orders.set(random.permutation(patches), image * patches);
  return orders;
}

/**
 * What one step on these images says of the last layer, by the site's own code.
 * @param images each [S, S], 0 to 255
 * @returns [W, P], the mean over the images
 */
export function lastLayerGradient(
  config: MaeConfig,
  weights: ReadonlyMap<string, Float32Array>,
  images: readonly Float32Array[],
  orders: Int32Array,
): Float32Array {
  const { imagePx } = config.encoder;
  const batch = images.length;
  return tf.tidy(() => {
    const named = tensorsOf(maeParameters(config), weights);
    const { rows, columns } = cropMatrices(
      images.map(() => wholeImage(imagePx)),
      imagePx,
      imagePx,
    );
    const inputs: InputTensors<MaeInputs> = {
      images: tf.tensor(Float32Array.from(images.flatMap((image) => [...image])), [
        batch,
        imagePx,
        imagePx,
        1,
      ]),
      cropRows: tf.tensor(rows, [batch, imagePx, imagePx]),
      cropColumns: tf.tensor(columns, [batch, imagePx, imagePx]),
      patchOrder: tf.tensor(orders, [batch, patchCount(config.encoder)], "int32"),
    };
    const loss = (last: Tensor): Tensor =>
      maeLoss(maeForward(new Map(named).set(LAST_LAYER, last), inputs, config));
    const last = named.get(LAST_LAYER);
    if (last === undefined) throw new Error("the decoder has a last layer");
    return Float32Array.from(tf.grad(loss)(last).dataSync());
  });
}

/** Smaller than what float32 loses. */
const RIDGE = 1e-9;

/**
 * @param gradient [W, P], the mean over `images` images
 * @param order of the image that is looked for, [L]
 * @returns its hidden patches as they stand in the sum, standardised by image, [M, P]
 */
export function invert(
  config: MaeConfig,
  weights: ReadonlyMap<string, Float32Array>,
  gradient: Float32Array,
  order: Int32Array,
): Float32Array {
  const { encoder, decoder, visible } = config;
  const [patches, length] = [patchCount(encoder), patchLength(encoder)];
  const hidden = order.subarray(visible);
  const features = featuresOf(config, weights, hidden);
  // Predictions are zero, so their error is the patch with its sign turned.
  const scale = (-(patches - visible) * length) / 2;
  const solved = leastSquares(
    matrix(hidden.length, decoder.width, features),
    matrix(
      decoder.width,
      length,
      gradient.map((value) => value * scale),
    ),
    RIDGE,
  );
  return Float32Array.from(solved.values);
}

/** What the last layer sees of hidden patches, [M, W]: nothing of any image. */
function featuresOf(
  { encoder, decoder }: MaeConfig,
  weights: ReadonlyMap<string, Float32Array>,
  hidden: Int32Array,
): Float32Array {
  const { width, depth } = decoder;
  const places = sinCosPositions(gridSize(encoder), width);
  const token = weights.get("mask_token") ?? new Float32Array(width);
  const start = Float32Array.from({ length: hidden.length * width }, (_, i) => {
    const place = hidden[Math.floor(i / width)] ?? 0;
    return (places[place * width + (i % width)] ?? 0) + (token[i % width] ?? 0);
  });
  return tf.tidy(() => {
    const named = tensorsOf(maeParameters({ encoder, decoder, visible: 0, normPixLoss: false }), weights);
    let x: Tensor = tf.tensor(start, [1, hidden.length, width]);
    for (let i = 0; i < depth; i++) x = mixChannels(named, `decoder_blocks.${i}`, x);
    return Float32Array.from(apply(layerNorm, named, "decoder_norm", x).dataSync());
  });
}

function tensorsOf(
  parameters: ReturnType<typeof maeParameters>,
  weights: ReadonlyMap<string, Float32Array>,
): Map<string, Tensor> {
  return new Map(parameters.map(({ name, shape }) => [name, tf.tensor(weights.get(name) ?? [], [...shape])]));
}
