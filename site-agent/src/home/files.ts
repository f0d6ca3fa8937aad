/**
 * The disk, as the home folder needs it. Everything that matters is written to a temporary file, synced, renamed, and
 * its folder synced, so that after a crash a file is either the old one or the new one.
 */
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs, truncate } from "node:fs/promises";
import { createHash } from "node:crypto";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Sha256 } from "@consilium/shared/ids";
import { syncFolder, writePartsAtomic as writeBeside } from "../dataset/files.ts";

/** Nobody but the site's own account reads its home. */
const PRIVATE_FILE = 0o600;
const PRIVATE_FOLDER = 0o700;

export async function ensureFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER });
}

/** @param parts are written one after the other; a large object need not be joined first */
export function writeFileAtomic(file: string, ...parts: (Uint8Array | string)[]): Promise<void> {
  return writePartsAtomic(file, parts);
}

/** As the cache's files, in a folder that is made where there is none. */
export async function writePartsAtomic(file: string, parts: Iterable<Uint8Array | string>): Promise<void> {
  await ensureFolder(path.dirname(file));
  await writeBeside(file, parts);
}

const LOCK_RETRY_MS = 10;

/**
 * Runs `work` while no other process does the same for this file: reading and appending belong together.
 * @throws as tryLock
 */
export async function exclusively<T>(file: string, work: () => Promise<T>): Promise<T> {
  // Loaded here: most commands only read.
  const { tryLock } = await import("@consilium/shared/file-lock");
  await ensureFolder(path.dirname(file));
  const lock = `${file}.lock`;
  let release = tryLock(lock);
  for (; release === null; release = tryLock(lock)) await delay(LOCK_RETRY_MS);
  try {
    return await work();
  } finally {
    release();
  }
}

/** Renames, durably. Both lie in folders of one file system. */
export async function moveFile(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(path.dirname(to));
}

/** Adds to the end of a file; the bytes are on disk when the promise resolves. */
export async function appendDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, "a", PRIVATE_FILE);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The whole file, or null if there is none. */
export async function readIfPresent(file: string): Promise<Uint8Array | null> {
  return absentAsNull(readFile(file));
}

export async function readTextIfPresent(file: string): Promise<string | null> {
  return absentAsNull(readFile(file, "utf8"));
}

/** Size in bytes, or null if there is no such file. */
export async function fileBytes(file: string): Promise<number | null> {
  return (await absentAsNull(stat(file)))?.size ?? null;
}

export async function removeFile(file: string): Promise<void> {
  await rm(file, { force: true });
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Names in a folder; none if there is no such folder. */
export async function listFolder(folder: string): Promise<readonly string[]> {
  return (await absentAsNull(readdir(folder))) ?? [];
}

/** A file that grows piece by piece. */
export interface Appender {
  append(bytes: Uint8Array): Promise<void>;
  /** The bytes are on disk when the promise resolves. */
  close(): Promise<void>;
}

export async function openAppender(file: string): Promise<Appender> {
  const handle = await open(file, "a", PRIVATE_FILE);
  return {
    append: (bytes) => handle.writeFile(bytes),
    async close() {
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    },
  };
}

export async function cutFile(file: string, sizeBytes: number): Promise<void> {
  await absentAsNull(truncate(file, sizeBytes));
}

/** SHA-256 of a file, read in pieces; null if there is none. */
export async function hashFile(file: string): Promise<Sha256 | null> {
  if ((await fileBytes(file)) === null) return null;
  const hash = createHash("sha256");
  for await (const piece of createReadStream(file)) hash.update(piece as Uint8Array);
  return hash.digest("hex") as Sha256;
}

/** Random access to an object that is sent in chunks. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export async function openSource(file: string): Promise<ByteSource> {
  const handle = await open(file, "r");
  const { size } = await handle.stat();
  return {
    sizeBytes: size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    },
    close: () => handle.close(),
  };
}

/** An object that is in memory. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
    close: () => Promise.resolve(),
  };
}

/** Bytes that may still be written to the file system that holds `folder` (or the nearest folder above it). */
export async function freeBytes(folder: string): Promise<number> {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const info = await absentAsNull(statfs(at));
    if (info !== null) return info.bavail * info.bsize;
    if (path.dirname(at) === at) return 0;
  }
}

/** Permission bits, or null if there is no such file. */
export async function fileMode(file: string): Promise<number | null> {
  const info = await absentAsNull(stat(file));
  return info === null ? null : info.mode & 0o777;
}

async function absentAsNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(error.code as string);
}
