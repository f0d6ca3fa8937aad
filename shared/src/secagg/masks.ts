/**
 * Masks: the keystream of AES-256 in counter mode (NIST SP 800-38A, 6.5), read as little-endian elements. The counter is
 * the big-endian number of the 16-byte block, so that any stretch can be made on its own, in any order, in any thread,
 * before there is an update to mask. Memory: one block and one keystream block.
 */
import { createCipheriv } from "node:crypto";
import { giveBack } from "../give-back.ts";
import { addAllLanes } from "./lanes.ts";
import { ALIGNMENT_BYTES, type Geometry } from "./layout.ts";
import { addToBlock, type Block, type Sign } from "./ring.ts";
import { assertUnspent } from "./secrets.ts";

/** One mask and whether it is added or subtracted; plain data for a worker thread. */
export interface MaskTerm {
  /** AES-256, 32 bytes, of one attempt and one pair or site. */
  readonly key: Uint8Array;
  readonly sign: Sign;
}

/** Fits the second-level cache together with the keystream, and the allocator keeps such blocks for the next one. */
export const BLOCK_BYTES = 64 * 1024;

const zeros = new Uint8Array(BLOCK_BYTES);

/**
 * The mask's bytes from `offset`, a multiple of 16.
 * @throws RangeError for another offset
 */
export function maskBlock(key: Uint8Array, offset: number, length: number): Uint8Array {
  if (offset % ALIGNMENT_BYTES !== 0) throw new RangeError(`a mask block from byte ${offset}`);
  const counter = new Uint8Array(16);
  new DataView(counter.buffer).setBigUint64(8, BigInt(offset / ALIGNMENT_BYTES));
  const plaintext = length <= zeros.length ? zeros.subarray(0, length) : new Uint8Array(length);
  return createCipheriv("aes-256-ctr", key, counter).update(plaintext);
}

/** Adds all masks to the block where it lies, or takes them away with `direction` -1. @throws secagg.spent */
export function addMasks(
  geometry: Geometry,
  block: Block,
  terms: readonly MaskTerm[],
  direction: Sign = 1,
): void {
  const { offset, bytes } = block;
  const signed = (sign: Sign): Sign => (sign === direction ? 1 : -1);
  const inBody = offset + bytes.length <= geometry.bodyBytes;
  if (bytes.length <= BLOCK_BYTES && (inBody || offset >= geometry.bodyBytes)) {
    addAllLanes(inBody ? geometry.bodyBits : 32, bytes, keystreams(block, terms, signed));
    return;
  }
  for (const { bytes: keystream, sign } of keystreams(block, terms, signed)) {
    addToBlock(geometry, block, keystream, sign);
  }
}

function* keystreams(
  { offset, bytes }: Block,
  terms: readonly MaskTerm[],
  signed: (sign: Sign) => Sign,
): Generator<{ readonly bytes: Uint8Array; readonly sign: Sign }, void, undefined> {
  for (const { key, sign } of terms) {
    assertUnspent(key);
    const keystream = maskBlock(key, offset, bytes.length);
    yield { bytes: keystream, sign: signed(sign) };
    giveBack(keystream);
  }
}
