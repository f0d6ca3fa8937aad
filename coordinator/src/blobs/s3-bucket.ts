/** The few calls of S3 that blobs need: streams in and out, whole objects or none, errors from our table. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { ByteRange } from "./blobs.ts";
import type { BlobsLocation } from "./location.ts";

/** S3 takes parts of 5 MiB and more, and 10,000 of them: objects of up to 156 GiB. */
const PART_BYTES = 16 * 1024 * 1024;
/** A round's updates are read side by side. */
const MAX_SOCKETS = 512;
const REMOVALS_AT_ONCE = 32;

export interface BucketObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/** Keys are without the prefix. */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(location: Extract<BlobsLocation, { kind: "s3" }>) {
    const { bucket, prefix, endpoint, region, pathStyle } = location;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#client = new S3Client({
      ...(endpoint === null ? {} : { endpoint }),
      // Servers other than Amazon's have no regions, and a signature needs one.
      ...(region !== null ? { region } : endpoint !== null ? { region: "us-east-1" } : {}),
      forcePathStyle: pathStyle,
      maxAttempts: 5,
      // Our own hashes cover every byte; many servers do not know Amazon's newer checksums.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: 5_000,
        requestTimeout: 60_000,
        httpAgent: { maxSockets: MAX_SOCKETS },
        httpsAgent: { maxSockets: MAX_SOCKETS },
      },
    });
  }

  /** @throws config.invalid, store.unreachable */
  async check(): Promise<void> {
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }));
    } catch (error) {
      const status = statusOf(error);
      if (status === undefined || status >= 500) throw typed(error);
      const detail = `(the bucket ${status === 404 ? "is not there" : "may not be used with these keys"})`;
      throw new ConsiliumError("config.invalid", { detail, culprits: ["blobs"], cause: error });
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#call(() => this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: bytes })));
  }

  /**
   * One object out of a stream, part by part; there when the promise resolves, and not at all if it rejects.
   * @throws hash.mismatch unless the bytes have this hash, disk.full, store.unreachable
   */
  async write(key: string, source: AsyncIterable<Uint8Array>, expected: Sha256): Promise<void> {
    const hash = createHash("sha256");
    const parts = inParts(source, hash);
    const first = await parts.next();
    const second = await parts.next();
    if (second.done === true) {
      assertHash(hash.digest("hex"), expected);
      await this.put(key, first.done === true ? new Uint8Array(0) : first.value);
      return;
    }
    const at = this.#at(key);
    const { UploadId } = await this.#call(() => this.#client.send(new CreateMultipartUploadCommand(at)));
    try {
      const Parts: { readonly ETag: string | undefined; readonly PartNumber: number }[] = [];
      const send = async (Body: Uint8Array): Promise<void> => {
        const PartNumber = Parts.length + 1;
        const command = new UploadPartCommand({ ...at, UploadId, PartNumber, Body });
        const { ETag } = await this.#call(() => this.#client.send(command));
        Parts.push({ ETag, PartNumber });
      };
      if (first.done !== true) await send(first.value);
      await send(second.value);
      for await (const part of parts) await send(part);
      assertHash(hash.digest("hex"), expected);
      const command = new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } });
      await this.#call(() => this.#client.send(command));
    } catch (error) {
      await this.#client.send(new AbortMultipartUploadCommand({ ...at, UploadId })).catch(() => undefined);
      throw error;
    }
  }

  /** @throws blob.unknown, store.unreachable */
  async *read(key: string, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    const Range = range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` };
    const command = new GetObjectCommand({ ...this.#at(key), ...Range });
    const { Body } = await this.#call(() => this.#client.send(command));
    if (!(Body instanceof Readable)) throw new Error("an object is a stream");
    try {
      for await (const piece of Body) yield piece as Buffer;
    } catch (error) {
      throw typed(error);
    }
  }

  async sizeOf(key: string): Promise<number | null> {
    try {
      const { ContentLength } = await this.#client.send(new HeadObjectCommand(this.#at(key)));
      return ContentLength ?? null;
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw typed(error);
    }
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (let start = 0; start < keys.length; start += REMOVALS_AT_ONCE) {
      const some = keys.slice(start, start + REMOVALS_AT_ONCE);
      await Promise.all(
        some.map((key) => this.#call(() => this.#client.send(new DeleteObjectCommand(this.#at(key))))),
      );
    }
  }

  async list(folder: string): Promise<readonly BucketObject[]> {
    const objects: BucketObject[] = [];
    let ContinuationToken: string | undefined;
    do {
      const command: ListObjectsV2Command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix + folder,
        ContinuationToken,
      });
      const page = await this.#call(() => this.#client.send(command));
      for (const { Key, Size = 0 } of page.Contents ?? []) {
        if (Key !== undefined) objects.push({ key: Key.slice(this.#prefix.length), sizeBytes: Size });
      }
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return objects;
  }

  /** Parts without an object cost money and are seen by nobody. Servers that cannot list them clean up by themselves. */
  async endAbandonedUploads(folder: string, olderThanMs: number): Promise<void> {
    const command = new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: this.#prefix + folder });
    const { Uploads = [] } = await this.#client.send(command).catch(() => ({ Uploads: [] }));
    const before = Date.now() - olderThanMs;
    for (const { Key, UploadId, Initiated } of Uploads) {
      if (Key === undefined || Initiated === undefined || Initiated.getTime() > before) continue;
      const at = { Bucket: this.#bucket, Key, UploadId };
      await this.#client.send(new AbortMultipartUploadCommand(at)).catch(() => undefined);
    }
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  async #call<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw typed(error);
    }
  }
}

/** Whole parts, the last one shorter; every byte goes through the hash. */
async function* inParts(
  source: AsyncIterable<Uint8Array>,
  hash: { update(bytes: Uint8Array): unknown },
): AsyncGenerator<Uint8Array, undefined, undefined> {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const piece of source) {
    hash.update(piece);
    held.push(piece);
    heldBytes += piece.length;
    if (heldBytes < PART_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    heldBytes = 0;
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}

function assertHash(found: string, expected: Sha256): void {
  if (found !== expected) throw new ConsiliumError("hash.mismatch");
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

/** Messages of the library quote addresses and keys; ours do not. */
function typed(error: unknown): unknown {
  if (error instanceof ConsiliumError) return error;
  const status = statusOf(error);
  if (status === 404) return new ConsiliumError("blob.unknown", { cause: error });
  if (status === 507) return new ConsiliumError("disk.full", { cause: error });
  return new ConsiliumError("store.unreachable", { cause: error });
}
