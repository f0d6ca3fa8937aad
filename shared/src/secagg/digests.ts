/**
 * The digests by which a dealer stands for each share that it dealt. It signs the root of a tree over them: the coordinator
 * has all of them, and each holder the path to its own.
 */
import { fromBase64Url, toBase64Url } from "../crypto/encoding.ts";
import { ConsiliumError } from "../errors.ts";
import type { Sha256, SiteId } from "../ids.ts";
import type { ShareKind } from "./derive.ts";
import { HASH_BYTES, merkleTree, rootByPath, type MerkleTree } from "./merkle.ts";

/** A leaf: of a holder's share of the self seed, then of the pair secret. */
const LEAF_BYTES = 2 * HASH_BYTES;

/** @param digests of all holders, in order */
export function digestTree(digests: Uint8Array): MerkleTree {
  return merkleTree(
    Array.from({ length: digests.length / LEAF_BYTES }, (_, i) =>
      digests.subarray(i * LEAF_BYTES, (i + 1) * LEAF_BYTES),
    ),
  );
}

export const rootOf = (tree: MerkleTree): Sha256 => Buffer.from(tree.root).toString("hex") as Sha256;

/** As it travels. */
export const pathTo = (tree: MerkleTree, holder: number): string => toBase64Url(tree.pathTo(holder));

/** @throws secagg.bad-share, naming the dealer, if there are not two for each holder, or the root stands for others */
export function assertDigests(
  digests: Uint8Array,
  holders: number,
  { site, root }: { readonly site: SiteId; readonly root: Sha256 },
): void {
  if (digests.length !== holders * LEAF_BYTES || rootOf(digestTree(digests)) !== root) throw badShare(site);
}

/** Whether the dealer's root stands for both digests of this holder, who is number `at` of `of`. */
export function isUnderRoot(
  own: Uint8Array,
  holder: { readonly at: number; readonly of: number },
  { root, path }: { readonly root: Sha256; readonly path: string },
): boolean {
  const found = rootByPath(own, holder, fromBase64Url(path));
  return found !== null && Buffer.from(found).equals(Buffer.from(root, "hex"));
}

/** Of one share. */
export function digestAt(digests: Uint8Array, holder: number, kind: ShareKind): Uint8Array {
  const start = holder * LEAF_BYTES + (kind === "self" ? 0 : HASH_BYTES);
  return digests.subarray(start, start + HASH_BYTES);
}

export function badShare(site: SiteId): ConsiliumError {
  return new ConsiliumError("secagg.bad-share", { culprits: [site] });
}
