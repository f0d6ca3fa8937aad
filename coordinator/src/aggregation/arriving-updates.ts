/**
 * Updates are looked through while they arrive, a few sealed chunks at a time, so that little is left to do when the last
 * byte is here and its site waits. It is a shortcut and no more: whatever is found wrong, or after a restart, the update is
 * looked through from its beginning at its commit, and what is wrong is told there.
 */
import { createHash, type Hash } from "node:crypto";
import { UPDATE_HEADER_BYTES } from "@consilium/shared/codec";
import { openableBytes } from "@consilium/shared/crypto/envelope";
import type { Identity } from "@consilium/shared/crypto/identity";
import type { Sha256, UploadId } from "@consilium/shared/ids";
import { vectorLength } from "@consilium/shared/manifest";
import type { Blobs, ByteRange } from "../blobs/blobs.ts";
import { readCheckpointHead, type CheckpointHead } from "./checkpoint-stream.ts";
import { drain, termsOf, type CheckJob } from "./fold.ts";
import { stretchValues, type UpdateTerms } from "./update-stream.ts";

/** Uploads that were begun and left lying are forgotten, the oldest first. */
const MOST = 1000;

interface Seen {
  readonly terms: UpdateTerms;
  /** Of the first `hashedBytes` bytes. */
  readonly hash: Hash;
  hashedBytes: number;
  /** From the first: authentic and finite. */
  elements: number;
}

export class ArrivingUpdates {
  readonly #blobs: Blobs;
  readonly #reader: Identity;
  /** Null where something was wrong: nothing more is looked at before the commit. */
  readonly #seen = new Map<UploadId, Seen | null>();
  #newest: { readonly base: Sha256; readonly head: CheckpointHead } | null = null;

  constructor(blobs: Blobs, reader: Identity) {
    this.#blobs = blobs;
    this.#reader = reader;
  }

  /**
   * Goes on with an update. One call at a time for each upload.
   * @param arrivedBytes from its beginning, which will not change any more
   */
  async look(job: CheckJob, upload: UploadId, arrivedBytes: number): Promise<void> {
    let seen = this.#seen.get(upload);
    if (seen === null) return;
    try {
      seen ??= await this.#start(job);
      this.#seen.set(upload, seen);
      const elements = Math.floor((openableBytes(arrivedBytes) - UPDATE_HEADER_BYTES) / 4);
      if (elements > seen.elements && elements < vectorLength(seen.terms.manifest)) {
        await this.#lookUntil(elements, seen, upload);
      }
    } catch {
      this.#seen.set(upload, null);
    }
    for (const oldest of this.#seen.keys()) if (this.#seen.size > MOST) this.#seen.delete(oldest);
  }

  /** Whether the whole update is right and has this hash; false also where it has not been looked at before. */
  async finish(upload: UploadId, sha256: Sha256): Promise<boolean> {
    const seen = this.#seen.get(upload) ?? null;
    this.#seen.delete(upload);
    if (seen === null || seen.elements === 0) return false;
    try {
      await this.#lookUntil(vectorLength(seen.terms.manifest), seen, upload);
    } catch {
      return false;
    }
    return seen.hash.digest("hex") === sha256;
  }

  async #start(job: CheckJob): Promise<Seen> {
    const terms = termsOf(job, this.#reader, await this.#headOf(job.base));
    return { terms, hash: createHash("sha256"), hashedBytes: 0, elements: 0 };
  }

  async #headOf(base: Sha256): Promise<CheckpointHead> {
    if (this.#newest?.base === base) return this.#newest.head;
    const head = await readCheckpointHead(this.#blobs.scan(base));
    this.#newest = { base, head };
    return head;
  }

  async #lookUntil(to: number, seen: Seen, upload: UploadId): Promise<void> {
    const staged = await this.#blobs.stage(upload);
    const source = (range: ByteRange) => hashedOnce(staged.scanPart?.(range) ?? [], range, seen);
    await drain(stretchValues(source, seen.terms, { from: seen.elements, to }));
    seen.elements = to;
  }
}

/** The bytes as they come; each goes into the hash when all before it have. */
async function* hashedOnce(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { start }: ByteRange,
  seen: Seen,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = start;
  for await (const piece of source) {
    if (at === seen.hashedBytes) {
      seen.hash.update(piece);
      seen.hashedBytes += piece.length;
    }
    at += piece.length;
    yield piece;
  }
}
