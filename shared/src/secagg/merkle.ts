/**
 * Merkle trees over SHA-256 (RFC 9162, section 2.1): one hash stands for a list of leaves, and a path of a few hashes shows
 * that a leaf is at its place in it.
 */
import { hash } from "node:crypto";
import { required } from "./required.ts";

export const HASH_BYTES = 32;

export interface MerkleTree {
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Of that leaf, counted from 0: the hashes from its neighbour up to the root's child, 32 bytes each. */
  readonly pathTo: (leaf: number) => Uint8Array;
}

interface Node {
  readonly hash: Uint8Array;
  /** Leaves below it. */
  readonly size: number;
  readonly children?: readonly [Node, Node];
}

/** @throws RangeError for no leaf */
export function merkleTree(leaves: readonly Uint8Array[]): MerkleTree {
  const top = nodeOver(leaves);
  return { root: top.hash, pathTo: (leaf) => Buffer.concat(siblings(top, leaf)) };
}

/** Section 2.1.3.2: the root that this leaf has at this place of so many; null if the path has another length. */
export function rootByPath(
  leaf: Uint8Array,
  { at, of }: { readonly at: number; readonly of: number },
  path: Uint8Array,
): Uint8Array | null {
  let [place, last] = [at, of - 1];
  let root = leafHash(leaf);
  for (let start = 0; start < path.length; start += HASH_BYTES) {
    if (last === 0) return null;
    const sibling = path.subarray(start, start + HASH_BYTES);
    if (place % 2 === 1 || place === last) {
      root = nodeHash(sibling, root);
      // Above it there was nobody on the right for a while.
      while (place % 2 === 0 && place !== 0) [place, last] = [place >> 1, last >> 1];
    } else root = nodeHash(root, sibling);
    [place, last] = [place >> 1, last >> 1];
  }
  return last === 0 ? root : null;
}

function nodeOver(leaves: readonly Uint8Array[]): Node {
  const size = leaves.length;
  if (size === 0) throw new RangeError("a tree without leaves");
  if (size === 1) return { hash: leafHash(required(leaves[0])), size };
  // The largest power of two below the size.
  const split = 2 ** Math.ceil(Math.log2(size) - 1);
  const [left, right] = [nodeOver(leaves.slice(0, split)), nodeOver(leaves.slice(split))];
  return { hash: nodeHash(left.hash, right.hash), size, children: [left, right] };
}

function siblings({ children, size }: Node, leaf: number): Uint8Array[] {
  if (leaf < 0 || leaf >= size) throw new RangeError(`leaf ${leaf} of ${size}`);
  if (children === undefined) return [];
  const [left, right] = children;
  return leaf < left.size
    ? [...siblings(left, leaf), right.hash]
    : [...siblings(right, leaf - left.size), left.hash];
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const leafHash = (leaf: Uint8Array): Uint8Array => hash("sha256", Buffer.concat([LEAF, leaf]), "buffer");
const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  hash("sha256", Buffer.concat([NODE, left, right]), "buffer");
