/** A sealed update, opened and checked while it streams: tag, layout, length and finiteness. */
import { assertUpdateHeader, UPDATE_HEADER_BYTES } from "@consilium/shared/codec";
import { openStream, type EnvelopeContext } from "@consilium/shared/crypto/envelope";
import type { Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { elementCount, manifestHash, vectorLength, type Manifest } from "@consilium/shared/manifest";
import { firstNotFinite, headerAndFloats, type ByteSource } from "./float-stream.ts";

export interface SealedUpdate {
  readonly source: ByteSource;
  readonly reader: Identity;
  readonly context: EnvelopeContext;
  readonly manifest: Manifest;
}

/**
 * The values in manifest order, slice by slice. Only a generator that ended has seen a whole and authentic update.
 * @throws envelope.invalid, crypto.weak-key, frame.bad-tag, frame.wrong-length, manifest.mismatch, vector.not-finite
 */
export async function* updateValues(
  update: SealedUpdate,
): AsyncGenerator<{ readonly offset: number; readonly values: Float32Array }, void, undefined> {
  const { source, reader, context, manifest } = update;
  const expected = vectorLength(manifest);
  let offset = 0;
  for await (const part of headerAndFloats(openStream(source, reader, context), UPDATE_HEADER_BYTES)) {
    if ("header" in part) {
      assertUpdateHeader(manifestHash(manifest), part.header);
      continue;
    }
    const { values } = part;
    if (offset + values.length > expected) throw new ConsiliumError("frame.wrong-length");
    const bad = firstNotFinite(values);
    if (bad >= 0) {
      throw new ConsiliumError("vector.not-finite", { culprits: [tensorAt(manifest, offset + bad)] });
    }
    yield { offset, values };
    offset += values.length;
  }
  if (offset !== expected) throw new ConsiliumError("frame.wrong-length");
}

/** Name of the tensor that holds the element at this index. */
export function tensorAt(manifest: Manifest, index: number): string {
  let end = 0;
  for (const { name, shape } of manifest.tensors) {
    end += elementCount(shape);
    if (index < end) return name;
  }
  return "?";
}
