/** Sums over blocks of the vector, and its elements as integers; Node.js runs on little-endian machines alone. */
import { addLanes, type Sign } from "./lanes.ts";
import { ALIGNMENT_BYTES, type Geometry } from "./layout.ts";

export type { Sign } from "./lanes.ts";

/** A stretch of the vector; `bytes` are its elements, and `offset` says where it begins. */
export interface Block {
  /** From the vector's start; a multiple of 16. */
  readonly offset: number;
  /** Of whole elements. */
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
  addLanes(geometry.bodyBits, bytes.subarray(0, body), source.subarray(0, body), sign);
  addLanes(32, bytes.subarray(body), source.subarray(body), sign);
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
