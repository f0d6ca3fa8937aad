/**
 * Binary frames. All integers and floats are little-endian.
 *
 *     0  4  magic "CSLM"
 *     4  1  version, 1
 *     5  1  tag: 1 checkpoint, 2 update
 *     6  2  zero
 *     8  4  header length H, a multiple of 4
 *    12  H  checkpoint: manifest as JSON, padded with spaces; update: manifest hash, 32 bytes
 *  12+H  4n values, float32
 *
 * A checkpoint names its own layout; an update names the layout it must fit.
 */
import { ConsiliumError } from "./errors.ts";
import type { Sha256 } from "./ids.ts";
import { manifestHash, vectorLength, type Manifest } from "./manifest.ts";
import { manifestSchema } from "./manifest-schema.ts";
import { assertLength } from "./vector.ts";

const MAGIC = 0x4d4c_5343; // "CSLM" read as a little-endian integer
const VERSION = 1;
const PREFIX_BYTES = 12;
const HASH_BYTES = 32;
const MAX_HEADER_BYTES = 4 * 1024 * 1024;

export const FRAME_TAG = { checkpoint: 1, update: 2 } as const;
type FrameTag = (typeof FRAME_TAG)[keyof typeof FRAME_TAG];

export interface Checkpoint {
  readonly manifest: Manifest;
  readonly values: Float32Array;
}

/** Bytes before the values of an update frame. */
export const UPDATE_HEADER_BYTES = PREFIX_BYTES + HASH_BYTES;

export function encodeCheckpoint({ manifest, values }: Checkpoint): Uint8Array {
  assertLength(manifest, values);
  return frame(FRAME_TAG.checkpoint, manifestBytes(manifest), values);
}

/** A checkpoint's bytes before its values, for writers that stream them. */
export function checkpointHeader(manifest: Manifest): Uint8Array {
  return frame(FRAME_TAG.checkpoint, manifestBytes(manifest), new Float32Array(0));
}

function manifestBytes(manifest: Manifest): Uint8Array {
  const json = JSON.stringify(manifest);
  return Buffer.from(
    json.padEnd(Math.ceil(Buffer.byteLength(json) / 4) * 4 - (Buffer.byteLength(json) - json.length)),
  );
}

/** @throws frame.bad-tag, frame.wrong-length */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const { manifest, valuesOffset } = decodeCheckpointHeader(bytes);
  return { manifest, values: valuesAt(bytes, valuesOffset, vectorLength(manifest)) };
}

/**
 * The layout alone, from the first bytes of a checkpoint, for readers that stream the values.
 * @throws frame.bad-tag, frame.wrong-length
 */
export function decodeCheckpointHeader(bytes: Uint8Array): { manifest: Manifest; valuesOffset: number } {
  const header = headerOf(bytes, FRAME_TAG.checkpoint);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(header).toString("utf8"));
  } catch (cause) {
    throw new ConsiliumError("frame.bad-tag", { detail: "(unreadable manifest)", cause });
  }
  const manifest = manifestSchema.safeParse(json);
  if (!manifest.success) throw new ConsiliumError("frame.bad-tag", { detail: "(unreadable manifest)" });
  return { manifest: manifest.data, valuesOffset: PREFIX_BYTES + header.length };
}

/** Bytes that a checkpoint's fixed prefix says its whole header takes; read this much before decoding it. */
export function checkpointHeaderBytes(prefix: Uint8Array): number {
  return PREFIX_BYTES + prefixOf(prefix, FRAME_TAG.checkpoint);
}

export function encodeUpdate(manifest: Manifest, values: Float32Array): Uint8Array {
  assertLength(manifest, values);
  return frame(FRAME_TAG.update, Buffer.from(manifestHash(manifest), "hex"), values);
}

/**
 * Checks the first UPDATE_HEADER_BYTES of an update, for readers that stream the values.
 * @throws frame.bad-tag, frame.wrong-length, manifest.mismatch
 */
export function assertUpdateHeader(expected: Sha256, bytes: Uint8Array): void {
  const header = headerOf(bytes, FRAME_TAG.update);
  if (header.length !== HASH_BYTES) throw new ConsiliumError("frame.wrong-length");
  if (Buffer.from(header).toString("hex") !== expected) throw new ConsiliumError("manifest.mismatch");
}

/** Exact size of an update frame for this layout. */
export function updateBytes(manifest: Manifest): number {
  return UPDATE_HEADER_BYTES + 4 * vectorLength(manifest);
}

function frame(tag: FrameTag, header: Uint8Array, values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(PREFIX_BYTES + header.length + values.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, tag);
  view.setUint32(8, header.length, true);
  bytes.set(header, PREFIX_BYTES);
  bytes.set(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    PREFIX_BYTES + header.length,
  );
  return bytes;
}

function prefixOf(bytes: Uint8Array, tag: FrameTag): number {
  if (bytes.length < PREFIX_BYTES) throw new ConsiliumError("frame.wrong-length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(4) !== VERSION || view.getUint8(5) !== tag) {
    throw new ConsiliumError("frame.bad-tag");
  }
  const headerBytes = view.getUint32(8, true);
  if (headerBytes > MAX_HEADER_BYTES || headerBytes % 4 !== 0) throw new ConsiliumError("frame.wrong-length");
  return headerBytes;
}

function headerOf(bytes: Uint8Array, tag: FrameTag): Uint8Array {
  const headerBytes = prefixOf(bytes, tag);
  if (bytes.length < PREFIX_BYTES + headerBytes) throw new ConsiliumError("frame.wrong-length");
  return bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes);
}

/** Copies, because the source need not be aligned to four bytes. (A Buffer's `slice` would not copy.) */
function valuesAt(bytes: Uint8Array, offset: number, length: number): Float32Array {
  if (bytes.length !== offset + 4 * length) throw new ConsiliumError("frame.wrong-length");
  return new Float32Array(new Uint8Array(bytes.subarray(offset)).buffer);
}
