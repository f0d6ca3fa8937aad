/** The encoder's sizes and what follows from them. */
import type { Plan } from "@consilium/shared/plan";
import { ConsiliumError } from "@consilium/shared/errors";

/** Everything that decides the encoder's weights and the shapes in it. */
export interface VitConfig {
  /** Side of the square image that the network sees. */
  readonly imagePx: number;
  readonly patchPx: number;
  readonly channels: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
}

/** Width, depth, heads. Tiny, small and base are DeiT's (Touvron et al. 2021), nano is for CPUs. */
const SIZES = {
  nano: { width: 128, depth: 6, heads: 4 },
  tiny: { width: 192, depth: 12, heads: 3 },
  small: { width: 384, depth: 12, heads: 6 },
  base: { width: 768, depth: 12, heads: 12 },
} as const satisfies Record<Plan["model"]["size"], Pick<VitConfig, "width" | "depth" | "heads">>;

export function vitConfig({ size, imagePx, patchPx, channels }: Plan["model"]): VitConfig {
  return { imagePx, patchPx, channels, ...SIZES[size] };
}

/** Patches along one side of the image. */
export function gridSize({ imagePx, patchPx }: Pick<VitConfig, "imagePx" | "patchPx">): number {
  return imagePx / patchPx;
}

/** Patches of one image, L. */
export function patchCount(config: Pick<VitConfig, "imagePx" | "patchPx">): number {
  return gridSize(config) ** 2;
}

/** Numbers in one patch, P. */
export function patchLength({ patchPx, channels }: Pick<VitConfig, "patchPx" | "channels">): number {
  return patchPx * patchPx * channels;
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
