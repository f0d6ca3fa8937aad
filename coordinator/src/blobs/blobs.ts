/** Immutable objects named by their SHA-256, and the half-received ones that may become such. */
import type { Sha256, UploadId } from "@consilium/shared/ids";

export interface StoredBlob {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

/** Bytes `start` up to and without `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface Blobs {
  /** Durable, name included, when the promise resolves. */
  write(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<StoredBlob>;
  /** The object, or a part of it, piece by piece. @throws blob.unknown */
  read(sha256: Sha256, range?: ByteRange): AsyncIterable<Uint8Array>;
  /**
   * As `read`, for whoever is done with a piece before asking for the next: its memory may be filled again then.
   * @throws blob.unknown
   */
  scan(sha256: Sha256, range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Null if there is no such object. */
  sizeOf(sha256: Sha256): Promise<number | null>;
  /** Nothing happens if there is no such object. */
  remove(sha256: Sha256): Promise<void>;
  list(): Promise<readonly Sha256[]>;

  /** The upload's bytes so far, if any. */
  stage(upload: UploadId): Promise<Staged>;
  /** Uploads that have bytes here. */
  staged(): Promise<readonly UploadId[]>;

  /** Space that is left; absent where there is no such number. */
  freeBytes?(): Promise<number>;
}

/** An object that arrives in pieces and in any order. */
export interface Staged {
  /**
   * On disk when the promise resolves.
   * @param bytes are given away: their memory is let go as soon as they are written, before they are flushed
   * @throws disk.full
   */
  writeAt(offset: number, bytes: Uint8Array): Promise<void>;
  sizeBytes(): Promise<number>;
  read(): AsyncIterable<Uint8Array>;
  /** As `scan` of a blob. */
  scan(): AsyncIterable<Uint8Array>;
  /** A part of it, while the rest arrives; absent where it would cost as much as the whole. */
  scanPart?(range: ByteRange): AsyncIterable<Uint8Array>;
  /** Becomes the blob of that name; the caller has checked that it is. Durable when the promise resolves. */
  promote(sha256: Sha256): Promise<void>;
  discard(): Promise<void>;
}
