/**
 * Layers that a plan freezes: the beginning of the encoder stays as the federation began with it, is trained nowhere and travels
 * in no update. See trained-part.ts for the layout of updates.
 */
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
