/**
 * Blobs in an S3 bucket. What has a name under `sha256/` is whole: S3 shows an object when all of it is there, and no
 * sooner. Objects of unknown name are hashed on their way through a file. The pieces of an upload are objects of their own,
 * named by their offset, so that any coordinator can go on where another one ended.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { sha256Schema, uploadIdSchema, type Sha256, type UploadId } from "@consilium/shared/ids";
import { giveBack } from "@consilium/shared/give-back";
import type { Blobs, ByteRange, Staged, StoredBlob } from "./blobs.ts";
import type { BlobsLocation } from "./location.ts";
import { S3Bucket } from "./s3-bucket.ts";

type S3Location = Extract<BlobsLocation, { kind: "s3" }>;

/** Multipart uploads that nobody has ended for this long were left behind by a crash. */
const ABANDONED_AFTER_MS = 24 * 3600_000;
const OFFSET_DIGITS = 15;

/** @throws config.invalid if there is no such bucket or it may not be used, store.unreachable */
export async function openS3Blobs(location: S3Location): Promise<Blobs> {
  await rm(location.spool, { recursive: true, force: true });
  const bucket = new S3Bucket(location);
  await bucket.check();
  await bucket.endAbandonedUploads("", ABANDONED_AFTER_MS);
  return attach(location, bucket);
}

export async function attachS3Blobs(location: S3Location): Promise<Blobs> {
  return attach(location, new S3Bucket(location));
}

async function attach({ spool }: S3Location, bucket: S3Bucket): Promise<Blobs> {
  await mkdir(spool, { recursive: true, mode: 0o700 });
  return new S3Blobs(bucket, spool);
}

class S3Blobs implements Blobs {
  readonly #bucket: S3Bucket;
  readonly #spool: string;

  constructor(bucket: S3Bucket, spool: string) {
    this.#bucket = bucket;
    this.#spool = spool;
  }

  async write(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<StoredBlob> {
    const file = path.join(this.#spool, randomUUID());
    try {
      const stored = await spool(file, source);
      if ((await this.sizeOf(stored.sha256)) !== stored.sizeBytes) {
        await this.#bucket.write(keyOf(stored.sha256), readFile(file), stored.sha256);
      }
      return stored;
    } finally {
      await rm(file, { force: true });
    }
  }

  async *read(sha256: Sha256, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    if (range !== undefined && range.end <= range.start) return;
    yield* this.#bucket.read(keyOf(sha256), range);
  }

  scan(sha256: Sha256, range?: ByteRange): AsyncIterable<Uint8Array> {
    return this.read(sha256, range);
  }

  sizeOf(sha256: Sha256): Promise<number | null> {
    return this.#bucket.sizeOf(keyOf(sha256));
  }

  remove(sha256: Sha256): Promise<void> {
    return this.#bucket.remove([keyOf(sha256)]);
  }

  async list(): Promise<readonly Sha256[]> {
    const objects = await this.#bucket.list("sha256/");
    return objects.flatMap(({ key }) => sha256Schema.safeParse(path.posix.basename(key)).data ?? []).sort();
  }

  async stage(upload: UploadId): Promise<Staged> {
    const staged = new StagedPieces(this.#bucket, upload);
    await staged.begin();
    return staged;
  }

  async staged(): Promise<readonly UploadId[]> {
    const objects = await this.#bucket.list("uploads/");
    const names = new Set(objects.map(({ key }) => path.posix.basename(path.posix.dirname(key))));
    return [...names].flatMap((name) => uploadIdSchema.safeParse(name).data ?? []).sort();
  }
}

interface Piece {
  readonly key: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Pieces do not overlap: each chunk of an upload has its place. */
class StagedPieces implements Staged {
  readonly #bucket: S3Bucket;
  readonly #folder: string;
  #isDiscarded = false;

  constructor(bucket: S3Bucket, upload: UploadId) {
    this.#bucket = bucket;
    this.#folder = `uploads/${upload}/`;
  }

  /** Something to be found by, before the first piece is here. */
  async begin(): Promise<void> {
    await this.#bucket.put(`${this.#folder}begun`, new Uint8Array(0));
  }

  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#isDiscarded) throw new ConsiliumError("upload.unknown");
    const name = String(offset).padStart(OFFSET_DIGITS, "0");
    await this.#bucket.put(this.#folder + name, bytes);
    giveBack(bytes);
  }

  async sizeBytes(): Promise<number> {
    const last = (await this.#pieces()).at(-1);
    return last === undefined ? 0 : last.offset + last.sizeBytes;
  }

  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    let end = 0;
    for (const { key, offset, sizeBytes } of await this.#pieces()) {
      // As a file would: what was never written reads as zeros, and fails by its hash.
      if (offset > end) yield new Uint8Array(offset - end);
      yield* this.#bucket.read(key);
      end = offset + sizeBytes;
    }
  }

  scan(): AsyncIterable<Uint8Array> {
    return this.read();
  }

  async promote(sha256: Sha256): Promise<void> {
    await this.#bucket.write(keyOf(sha256), this.read(), sha256);
    await this.discard();
  }

  async discard(): Promise<void> {
    this.#isDiscarded = true;
    const objects = await this.#bucket.list(this.#folder);
    await this.#bucket.remove(objects.map(({ key }) => key));
  }

  async #pieces(): Promise<Piece[]> {
    return (await this.#bucket.list(this.#folder))
      .flatMap(({ key, sizeBytes }) => {
        const name = path.posix.basename(key);
        return /^\d+$/.test(name) ? { key, offset: Number(name), sizeBytes } : [];
      })
      .sort((a, b) => a.offset - b.offset);
  }
}

const keyOf = (sha256: Sha256): string => `sha256/${sha256.slice(0, 2)}/${sha256}`;

/** Not fsynced: after a crash nobody looks for it. */
async function spool(
  file: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<StoredBlob> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const handle = await open(file, "wx", 0o600);
  try {
    for await (const piece of source) {
      hash.update(piece);
      await handle.appendFile(piece);
      sizeBytes += piece.length;
    }
  } finally {
    await handle.close();
  }
  return { sha256: hash.digest("hex") as Sha256, sizeBytes };
}

async function* readFile(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 })) yield piece as Buffer;
}
