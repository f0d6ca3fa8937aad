/**
 * Blobs on a file system: `sha256/ab/abcd...`. The order that makes an object durable: write to a temporary name, fsync,
 * rename, fsync the folder. What has a final name is whole.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { sha256Schema, uploadIdSchema, type Sha256, type UploadId } from "@consilium/shared/ids";
import { lend, takeBack } from "@consilium/shared/lent-memory";
import { syncFolder } from "../durable.ts";
import { StagedWriter, writeFully } from "./staged-file.ts";
import type { Blobs, ByteRange, Staged, StoredBlob } from "./blobs.ts";

const READ_BYTES = 1024 * 1024;
const PART = ".part";

/**
 * For the one owner of the folder: clears away what a crash left half-written, which has no name and no row.
 * @param root an own folder; made when absent
 */
export async function openFileBlobs(root: string): Promise<Blobs> {
  const folders = foldersOf(root);
  await rm(folders.temporary, { recursive: true, force: true });
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true, mode: 0o700 });
  return new FileBlobs(folders);
}

/** For a worker of the owner. */
export function attachFileBlobs(root: string): Blobs {
  return new FileBlobs(foldersOf(root));
}

function foldersOf(root: string): Folders {
  return {
    objects: path.join(root, "sha256"),
    temporary: path.join(root, "temporary"),
    uploads: path.join(root, "uploads"),
  };
}

type Folders = Readonly<Record<"objects" | "temporary" | "uploads", string>>;

class FileBlobs implements Blobs {
  readonly #folders: Folders;
  /** Folders of objects whose own names are on disk. */
  readonly #durable = new Set<string>();

  constructor(folders: Folders) {
    this.#folders = folders;
  }

  async write(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<StoredBlob> {
    const file = path.join(this.#folders.temporary, randomUUID());
    try {
      return await this.#write(file, source);
    } catch (error) {
      await rm(file, { force: true });
      throw typed(error);
    }
  }

  async #write(file: string, source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<StoredBlob> {
    const hash = createHash("sha256");
    let sizeBytes = 0;
    const handle = await open(file, "wx", 0o600);
    try {
      for await (const piece of source) {
        hash.update(piece);
        await writeFully(handle, piece, sizeBytes);
        sizeBytes += piece.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    const sha256 = hash.digest("hex") as Sha256;
    await this.#name(file, sha256);
    return { sha256, sizeBytes };
  }

  async *read(sha256: Sha256, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    if (range !== undefined && range.end <= range.start) return;
    const bounds = range === undefined ? {} : { start: range.start, end: range.end - 1 };
    try {
      yield* readFile(this.#fileOf(sha256), bounds);
    } catch (error) {
      throw isMissing(error) ? new ConsiliumError("blob.unknown") : typed(error);
    }
  }

  async *scan(sha256: Sha256, range?: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* scanFile(this.#fileOf(sha256), range);
    } catch (error) {
      throw isMissing(error) ? new ConsiliumError("blob.unknown") : typed(error);
    }
  }

  async sizeOf(sha256: Sha256): Promise<number | null> {
    return sizeOrNull(this.#fileOf(sha256));
  }

  async remove(sha256: Sha256): Promise<void> {
    await rm(this.#fileOf(sha256), { force: true });
  }

  async list(): Promise<readonly Sha256[]> {
    const files = await readdir(this.#folders.objects, { recursive: true });
    return files.flatMap((file) => sha256Schema.safeParse(path.basename(file)).data ?? []).sort();
  }

  stage(upload: UploadId): Promise<Staged> {
    const file = path.join(this.#folders.uploads, upload + PART);
    return Promise.resolve(new StagedFile(file, (sha256) => this.#name(file, sha256)));
  }

  async staged(): Promise<readonly UploadId[]> {
    const files = await readdir(this.#folders.uploads);
    return files.flatMap((file) => uploadIdSchema.safeParse(path.basename(file, PART)).data ?? []).sort();
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folders.uploads);
    return bavail * bsize;
  }

  /** Gives a file that is already fsynced its final name. */
  async #name(file: string, sha256: Sha256): Promise<void> {
    const target = this.#fileOf(sha256);
    const folder = path.dirname(target);
    const isNew = !this.#durable.has(folder);
    if (isNew) await mkdir(folder, { recursive: true, mode: 0o700 });
    await rename(file, target);
    await Promise.all([folder, ...(isNew ? [this.#folders.objects] : [])].map(syncFolder));
    this.#durable.add(folder);
  }

  #fileOf(sha256: Sha256): string {
    return path.join(this.#folders.objects, sha256.slice(0, 2), sha256);
  }
}

class StagedFile implements Staged {
  readonly #file: string;
  readonly #name: (sha256: Sha256) => Promise<void>;
  readonly #writer: StagedWriter;

  constructor(file: string, name: (sha256: Sha256) => Promise<void>) {
    this.#file = file;
    this.#name = name;
    this.#writer = new StagedWriter(file);
  }

  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#writer.writeAt(offset, bytes);
    } catch (error) {
      throw isMissing(error) ? new ConsiliumError("upload.unknown") : typed(error);
    }
  }

  async sizeBytes(): Promise<number> {
    return (await sizeOrNull(this.#file)) ?? 0;
  }

  read(): AsyncIterable<Uint8Array> {
    return ifAny(readFile(this.#file, {}));
  }

  scan(): AsyncIterable<Uint8Array> {
    return ifAny(scanFile(this.#file));
  }

  scanPart(range: ByteRange): AsyncIterable<Uint8Array> {
    return ifAny(scanFile(this.#file, range));
  }

  async promote(sha256: Sha256): Promise<void> {
    await this.#writer.end();
    await this.#name(sha256);
  }

  async discard(): Promise<void> {
    await this.#writer.end();
    await rm(this.#file, { force: true });
  }
}

/** An upload of which nothing has come has no file. */
async function* ifAny(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* bytes;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function* readFile(
  file: string,
  bounds: { readonly start?: number; readonly end?: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = createReadStream(file, { ...bounds, highWaterMark: READ_BYTES });
  for await (const piece of stream) yield piece as Buffer;
}

/** A large object is read through one buffer: fresh memory for each piece costs more than reading it. */
async function* scanFile(
  file: string,
  { start, end }: ByteRange = { start: 0, end: Infinity },
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(file, "r");
  const buffer = lend(READ_BYTES);
  try {
    for (let position = start; position < end;) {
      const wanted = Math.min(buffer.length, end - position);
      const { bytesRead } = await handle.read(buffer, 0, wanted, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    takeBack(buffer);
    await handle.close();
  }
}

async function sizeOrNull(file: string): Promise<number | null> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw typed(error);
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT";

/** A full disk is in the table; other file errors keep their own code for the log. */
const typed = (error: unknown): unknown => {
  const known = toConsiliumError(error);
  return known.code === "internal" ? error : known;
};
