/** A sealed update, opened and checked while it streams: tag, layout, length and finiteness. */
import { assertUpdateHeader, UPDATE_HEADER_BYTES, updateBytes } from "@consilium/shared/codec";
import {
  openPart,
  openStream,
  type EnvelopeContext,
  type SealedRange,
} from "@consilium/shared/crypto/envelope";
import type { Identity } from "@consilium/shared/crypto/identity";
import { manifestHash, type Manifest } from "@consilium/shared/manifest";
import { checkedValues, type Slice, type Stretch } from "./checked-values.ts";
import type { ByteSource } from "./float-stream.ts";

export interface UpdateTerms {
  readonly reader: Identity;
  readonly context: EnvelopeContext;
  readonly manifest: Manifest;
}

export interface SealedUpdate extends UpdateTerms {
  readonly source: ByteSource;
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

/**
 * The values of a stretch. Stretches that cover the layout between them have seen a whole and authentic update.
 * @throws as updateValues
 */
export function stretchValues(
  sealed: SealedRange,
  { reader, context, manifest }: UpdateTerms,
  { from, to }: Stretch,
): AsyncGenerator<Slice, void, undefined> {
  // The header goes with the first.
  const headerBytes = from === 0 ? UPDATE_HEADER_BYTES : 0;
  const start = UPDATE_HEADER_BYTES - headerBytes + 4 * from;
  const part = { start, end: UPDATE_HEADER_BYTES + 4 * to, of: updateBytes(manifest) };
  return checkedValues({
    source: openPart(sealed, reader, context, part),
    headerBytes,
    manifest,
    stretch: { from, to },
    assertHeader: (header) => {
      if (header.length > 0) assertUpdateHeader(manifestHash(manifest), header);
    },
  });
}
