/** Weights of the encoder and of the heads upon it: how fast they learn and how they start. */
import { elementCount } from "@consilium/shared/manifest";
import { Random } from "../dataset/random.ts";
import type { Parameter } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";

/**
 * The encoder's weights. Learning rates fall from the head down (Clark et al. 2020, as in BEiT and MAE): a block that is
 * k below the head learns with `layerDecay^k`. A decay of 0 freezes the encoder.
 */
export function encoderParameters(config: VitConfig, layerDecay: number): readonly Parameter[] {
  const top = config.depth + 1;
  return vitParameters(config).map((parameter) => ({
    ...parameter,
    learningRateScale: layerDecay === 0 ? 0 : layerDecay ** (top - layerOf(parameter.name, config.depth)),
  }));
}

/** 0 for what makes tokens, i + 1 for block i, depth + 1 for what follows. */
export function layerOf(name: string, depth: number): number {
  const block = /^blocks\.(\d+)\./.exec(name);
  if (block) return Number(block[1]) + 1;
  return name === "cls_token" || name.startsWith("patch_embed.") ? 0 : depth + 1;
}

export interface HeadStart {
  /** Standard deviation of a matrix's or filter's weights. */
  readonly stdDev: (parameter: Parameter, fanIn: number) => number;
  /** Value of a bias. */
  readonly bias: (parameter: Parameter) => number;
}

/** A head's initial weights, flat: norms are 1, biases and normal matrices as `start` says. */
export function initialHead(
  parameters: readonly Parameter[],
  { stdDev, bias }: HeadStart,
  seed: number,
): Float32Array {
  const random = new Random(seed, 0x4ead);
  return Float32Array.from(
    parameters.flatMap((parameter) => {
      const { name, shape } = parameter;
      const length = elementCount(shape);
      if (name.endsWith(".bias")) return new Array<number>(length).fill(bias(parameter));
      if (shape.length === 1) return new Array<number>(length).fill(1);
      const spread = stdDev(parameter, length / (shape.at(-1) ?? 1));
      return Array.from({ length }, () => spread * random.normal());
    }),
  );
}

/** Encoder, then head, as one flat vector. */
export function joinWeights(encoder: Float32Array, head: Float32Array): Float32Array {
  const all = new Float32Array(encoder.length + head.length);
  all.set(encoder);
  all.set(head, encoder.length);
  return all;
}
