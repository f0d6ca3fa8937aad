/** Sums modulo 2^16 and 2^32 over blocks of the vector, whatever the machine's byte order would be: it is little. */
import { ALIGNMENT_BYTES, type BodyBits, type Geometry } from "./layout.ts";

export type Sign = 1 | -1;

/** A stretch of the vector; `bytes` are its elements, and `offset` says where it begins. */
export interface Block {
  /** From the vector's start; a multiple of 16. */
  readonly offset: number;
  /** Of whole elements; begins at a multiple of 4 in its buffer. */
  readonly bytes: Uint8Array;
}

/** target <- target + sign * source, element by element; `source` is as long as the block. */
export function addToBlock(
  geometry: Geometry,
  { offset, bytes }: Block,
  source: Uint8Array,
  sign: Sign,
): void {
  // The body ends at a multiple of 16, so that no element lies across its border.
  const body = Math.max(0, Math.min(bytes.length, geometry.bodyBytes - offset));
  addElements(geometry.bodyBits, bytes.subarray(0, body), source.subarray(0, body), sign);
  addElements(32, bytes.subarray(body), source.subarray(body), sign);
}

/**
 * Cuts the vector: the body in blocks of `blockBytes` and what is left, then the tail in one.
 * @throws RangeError unless `blockBytes` is a multiple of 16
 */
export function* blockRanges(
  { bodyBytes, totalBytes }: Geometry,
  blockBytes: number,
): Generator<{ readonly offset: number; readonly length: number }, void, undefined> {
  if (blockBytes < ALIGNMENT_BYTES || blockBytes % ALIGNMENT_BYTES !== 0) {
    throw new RangeError(`blocks of ${blockBytes} bytes`);
  }
  for (let offset = 0; offset < bodyBytes; offset += blockBytes) {
    yield { offset, length: Math.min(blockBytes, bodyBytes - offset) };
  }
  yield { offset: bodyBytes, length: totalBytes - bodyBytes };
}

/** The bytes as integers; a copy only if they are not aligned for it. */
export function int32s(bytes: Uint8Array): Int32Array {
  const { buffer, byteOffset, length } = aligned(bytes, 4);
  return new Int32Array(buffer, byteOffset, length >> 2);
}

export function int16s(bytes: Uint8Array): Int16Array {
  const { buffer, byteOffset, length } = aligned(bytes, 2);
  return new Int16Array(buffer, byteOffset, length >> 1);
}

export function uint32s(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = aligned(bytes, 4);
  return new Uint32Array(buffer, byteOffset, length >> 2);
}

function aligned(bytes: Uint8Array, unit: number): Uint8Array {
  return bytes.byteOffset % unit === 0 ? bytes : Uint8Array.from(bytes);
}

function addElements(bits: BodyBits, target: Uint8Array, source: Uint8Array, sign: Sign): void {
  if (target.byteOffset % 4 !== 0) throw new RangeError("a block that does not begin at a multiple of 4");
  if (bits === 32) add32(int32s(target), int32s(source), sign);
  else add16(int16s(target), int16s(source), sign);
}

// One loop for each sign and width: the compiler then sees plain integer additions.

function add32(target: Int32Array, source: Int32Array, sign: Sign): void {
  const length = Math.min(target.length, source.length);
  if (sign === 1) for (let i = 0; i < length; i++) target[i] = ((target[i] ?? 0) + (source[i] ?? 0)) | 0;
  else for (let i = 0; i < length; i++) target[i] = ((target[i] ?? 0) - (source[i] ?? 0)) | 0;
}

function add16(target: Int16Array, source: Int16Array, sign: Sign): void {
  const length = Math.min(target.length, source.length);
  // Storing keeps the low 16 bits.
  if (sign === 1) for (let i = 0; i < length; i++) target[i] = (target[i] ?? 0) + (source[i] ?? 0);
  else for (let i = 0; i < length; i++) target[i] = (target[i] ?? 0) - (source[i] ?? 0);
}
