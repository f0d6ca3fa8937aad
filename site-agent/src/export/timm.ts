/**
 * The encoder as timm's `VisionTransformer` has it: same names, matrices [out, in], the patch projection as a convolution,
 * and the fixed positions written out. Numbers are copied, never computed anew.
 *
 *     model = timm.models.vision_transformer.VisionTransformer(**card["timm"])
 *     model.load_state_dict(safetensors.torch.load_file(FILE))
 */
import type { Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import { concatenate } from "@consilium/shared/vector";
import type { Parameter } from "../engine/types.ts";
import { selectParameters } from "../downstream/encoder.ts";
import { sinCosPositions } from "../model/positions.ts";
import { assertOfImages, gridSize, patchCount, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { elementCount } from "@consilium/shared/manifest";
import { encodeSafetensors, type NamedTensor, type TensorFile } from "./safetensors.ts";

const PATCH_PROJECTION = "patch_embed.proj.weight";
const POSITIONS = "pos_embed";

/** Everything else that a reader needs to build the network and feed it; written as JSON beside the weights. */
export interface EncoderCard {
  readonly architecture: "vision_transformer";
  /** Arguments of timm's `VisionTransformer`. */
  readonly timm: {
    readonly img_size: number;
    readonly patch_size: number;
    readonly in_chans: number;
    readonly embed_dim: number;
    readonly depth: number;
    readonly num_heads: number;
    readonly mlp_ratio: number;
    readonly qkv_bias: true;
    readonly class_token: true;
    readonly num_classes: 0;
    /** Mean of the patch tokens, after `norm`. */
    readonly global_pool: "avg";
    readonly fc_norm: false;
  };
  /** How images become inputs. */
  readonly input: {
    readonly channels: number;
    readonly intensity: "8-bit grey, air dark and bone bright";
    readonly normalisation: "each image: minus its mean, divided by its standard deviation";
  };
}

/**
 * @param checkpoint encoder and possibly pretext heads, which are left out
 * @param origin goes into the file's metadata
 * @returns a safetensors file
 * @throws manifest.mismatch if the checkpoint does not hold this encoder, model.of-volumes
 */
export function exportTimm(
  config: VitConfig,
  checkpoint: Checkpoint,
  origin: Readonly<Record<string, string>> = {},
): Uint8Array {
  assertOfImages(config);
  const tensors = toTimm(config, selectParameters(vitParameters(config), checkpoint));
  return encodeSafetensors({ tensors, metadata: { ...origin, format: "pt" } });
}

export function encoderCard(config: VitConfig): EncoderCard {
  return {
    architecture: "vision_transformer",
    timm: {
      img_size: config.imagePx,
      patch_size: config.patchPx,
      in_chans: config.channels,
      embed_dim: config.width,
      depth: config.depth,
      num_heads: config.heads,
      mlp_ratio: 4,
      qkv_bias: true,
      class_token: true,
      num_classes: 0,
      global_pool: "avg",
      fc_norm: false,
    },
    input: {
      channels: config.channels,
      intensity: "8-bit grey, air dark and bone bright",
      normalisation: "each image: minus its mean, divided by its standard deviation",
    },
  };
}

/** @param values the encoder's weights, flat, in the order of `vitParameters` */
export function toTimm(config: VitConfig, values: Float32Array): Map<string, NamedTensor> {
  const tensors = new Map<string, NamedTensor>();
  let offset = 0;
  for (const parameter of vitParameters(config)) {
    const length = elementCount(parameter.shape);
    tensors.set(parameter.name, tensorToTimm(parameter, values.subarray(offset, offset + length), config));
    offset += length;
  }
  const { width } = config;
  const positions = new Float32Array((1 + patchCount(config)) * width); // the class token's are zero
  positions.set(sinCosPositions(gridSize(config), width), width);
  tensors.set(POSITIONS, { shape: [1, 1 + patchCount(config), width], values: positions });
  return tensors;
}

/**
 * The way back: flat weights in the order of `vitParameters`. Positions are not taken over, because ours are fixed.
 * @throws manifest.mismatch if a weight is absent or has another shape
 */
export function fromTimm(config: VitConfig, { tensors }: Pick<TensorFile, "tensors">): Float32Array {
  const parts = vitParameters(config).map((parameter) => {
    const tensor = tensors.get(parameter.name);
    if (tensor?.shape.join() !== timmShape(parameter, config).join()) {
      throw new ConsiliumError("manifest.mismatch", { culprits: [parameter.name] });
    }
    return tensorFromTimm(parameter, tensor.values, config);
  });
  return concatenate(parts);
}

function timmShape({ name, shape }: Parameter, { patchPx, channels, width }: VitConfig): readonly number[] {
  if (name === PATCH_PROJECTION) return [width, channels, patchPx, patchPx];
  return shape.length === 2 ? shape.toReversed() : shape;
}

function tensorToTimm(parameter: Parameter, values: Float32Array, config: VitConfig): NamedTensor {
  const place = timmIndex(parameter, config);
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) out[place(i)] = values[i] ?? NaN;
  return { shape: timmShape(parameter, config), values: out };
}

function tensorFromTimm(parameter: Parameter, values: Float32Array, config: VitConfig): Float32Array {
  const place = timmIndex(parameter, config);
  return Float32Array.from(values, (_, i) => values[place(i)] ?? NaN);
}

/** Where timm keeps element `i` of our tensor. A patch's numbers are (row, column, channel) here, (channel, row, column) there. */
function timmIndex({ name, shape }: Parameter, { patchPx, channels }: VitConfig): (i: number) => number {
  const [inputs = 0, outputs = 0] = shape;
  if (shape.length !== 2) return (i) => i;
  return (i) => {
    const output = i % outputs;
    const input = Math.floor(i / outputs);
    const channelFirst = (input % channels) * patchPx * patchPx + Math.floor(input / channels);
    return output * inputs + (name === PATCH_PROJECTION ? channelFirst : input);
  };
}
