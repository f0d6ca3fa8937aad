/** The encoder's sizes and what follows from them. */
import type { Plan } from "@consilium/shared/plan";
import { ENCODER_DEPTHS, ENCODER_WIDTHS } from "@consilium/shared/encoder-sizes";
import { ConsiliumError } from "@consilium/shared/errors";

/** Everything that decides the encoder's weights and the shapes in it. */
export interface VitConfig {
  /** Side of the square image that the network sees. */
  readonly imagePx: number;
  readonly patchPx: number;
  readonly channels: number;
  /** Of volumes alone: slices that the network sees, and slices of a patch. */
  readonly volume?: { readonly depthPx: number; readonly patchDepthPx: number };
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
}

/** Width, depth, heads. Tiny, small and base are DeiT's (Touvron et al. 2021), nano is for CPUs. */
const SIZES = {
  nano: { width: ENCODER_WIDTHS.nano, depth: ENCODER_DEPTHS.nano, heads: 4 },
  tiny: { width: ENCODER_WIDTHS.tiny, depth: ENCODER_DEPTHS.tiny, heads: 3 },
  small: { width: ENCODER_WIDTHS.small, depth: ENCODER_DEPTHS.small, heads: 6 },
  base: { width: ENCODER_WIDTHS.base, depth: ENCODER_DEPTHS.base, heads: 12 },
} as const satisfies Record<Plan["model"]["size"], Pick<VitConfig, "width" | "depth" | "heads">>;

type PlannedModel = Pick<Plan["model"], "size" | "imagePx" | "patchPx" | "channels"> &
  Partial<Pick<Plan["model"], "dimensions" | "depthPx" | "patchDepthPx">>;

export function vitConfig(model: PlannedModel): VitConfig {
  const { size, imagePx, patchPx, channels, dimensions = 2, depthPx = 1, patchDepthPx = 1 } = model;
  const config = { imagePx, patchPx, channels, ...SIZES[size] };
  return dimensions === 2 ? config : { ...config, volume: { depthPx, patchDepthPx } };
}

/** Patches along one side of the image, or of a volume's slice. */
export function gridSize({ imagePx, patchPx }: Pick<VitConfig, "imagePx" | "patchPx">): number {
  return imagePx / patchPx;
}

/** Layers of patches, one above the other: 1 for images. */
export function gridDepth({ volume }: Pick<VitConfig, "volume">): number {
  return volume === undefined ? 1 : volume.depthPx / volume.patchDepthPx;
}

/** Patches of one image or volume, L. */
export function patchCount(config: Pick<VitConfig, "imagePx" | "patchPx" | "volume">): number {
  return gridDepth(config) * gridSize(config) ** 2;
}

/** Numbers in one patch, P. */
export function patchLength({
  patchPx,
  channels,
  volume,
}: Pick<VitConfig, "patchPx" | "channels" | "volume">): number {
  return (volume?.patchDepthPx ?? 1) * patchPx * patchPx * channels;
}

/** @throws model.of-volumes: timm's network and the head for boxes take images alone */
export function assertOfImages({ volume }: Pick<VitConfig, "volume">): void {
  if (volume !== undefined) throw new ConsiliumError("model.of-volumes");
}

/**
 * Sin-cos positions need a width that 4 divides, attention one that the heads divide.
 * @throws plan.invalid
 */
export function assertTransformer(name: string, { width, heads }: Pick<VitConfig, "width" | "heads">): void {
  if (width % 4 === 0 && width % heads === 0) return;
  throw new ConsiliumError("plan.invalid", {
    detail: `${name}.width: must be a multiple of 4 and of heads`,
    culprits: [`${name}.width`],
  });
}
