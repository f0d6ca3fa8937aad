/** A sealed update, opened and checked while it streams: tag, layout, length and finiteness. */
import { assertUpdateHeader, UPDATE_HEADER_BYTES } from "@consilium/shared/codec";
import { openStream, type EnvelopeContext } from "@consilium/shared/crypto/envelope";
import type { Identity } from "@consilium/shared/crypto/identity";
import { manifestHash, type Manifest } from "@consilium/shared/manifest";
import { checkedValues, type Slice } from "./checked-values.ts";
import type { ByteSource } from "./float-stream.ts";

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
export function updateValues(update: SealedUpdate): AsyncGenerator<Slice, void, undefined> {
  const { source, reader, context, manifest } = update;
  return checkedValues({
    source: openStream(source, reader, context),
    headerBytes: UPDATE_HEADER_BYTES,
    manifest,
    assertHeader: (header) => {
      assertUpdateHeader(manifestHash(manifest), header);
    },
  });
}
