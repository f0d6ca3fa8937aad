/**
 * Layers that a plan freezes: the beginning of the encoder stays as the federation began with it, is trained nowhere and travels
 * in no update. Checkpoints are whole; updates have the layout of what is behind that beginning.
 */
import { ConsiliumError } from "./errors.ts";
import { vectorLength, type Manifest } from "./manifest.ts";

/**
 * Whether a weight is frozen. The names are the encoder's alone: a decoder's blocks and a teacher's have others.
 * @param frozenBlocks of the plan: leading blocks, with what comes before them; undefined where nothing is frozen
 */
export function isFrozen(name: string, frozenBlocks: number | undefined): boolean {
  if (frozenBlocks === undefined) return false;
  if (name === "cls_token" || name.startsWith("patch_embed.")) return true;
  const block = /^blocks\.(\d+)\./.exec(name)?.[1];
  return block !== undefined && Number(block) < frozenBlocks;
}

/** What of a model is trained, and so travels in updates. */
export interface TrainedPart {
  /** The layout of updates. */
  readonly manifest: Manifest;
  /** Elements of the model before it. */
  readonly offset: number;
}

/** @throws manifest.mismatch where frozen weights are not the model's beginning, or are all that it has */
export function trainedPart(manifest: Manifest, frozenBlocks: number | undefined): TrainedPart {
  if (frozenBlocks === undefined) return { manifest, offset: 0 };
  const { tensors } = manifest;
  const first = tensors.findIndex(({ name }) => !isFrozen(name, frozenBlocks));
  const trained = tensors.slice(Math.max(0, first));
  if (first < 1 || trained.some(({ name }) => isFrozen(name, frozenBlocks))) {
    throw new ConsiliumError("manifest.mismatch", { detail: "(frozen layers are not its beginning)" });
  }
  return {
    manifest: { tensors: trained },
    offset: vectorLength({ tensors: tensors.slice(0, first) }),
  };
}
