/**
 * Objects that came over the network and are not in the cache yet: private files that are deleted once they are. What is
 * acknowledged to a sender is on disk before, so a crash at any line loses nothing that the sender will not send again.
 *
 *     RANDOM.part        being written; removed at the next start
 *     KEY-RANDOM.dcm     complete; KEY is an HMAC, as long as the cache's keys
 */
import { randomBytes } from "node:crypto";
import { chmod, open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { syncFolder } from "../../dataset/files.ts";
import { ensureFolder, freeBytes } from "../../home/files.ts";
import type { FoundFile } from "../folder.ts";

export interface SpoolLimits {
  /** More than this is not accepted until the cache has caught up. */
  readonly maxBytes: number;
  /** Room on the disk that has to stay free. */
  readonly minFreeBytes: number;
}

export const SPOOL_LIMITS: SpoolLimits = { maxBytes: 4 * 2 ** 30, minFreeBytes: 2 ** 30 };

const COMPLETE = /^([0-9a-f]{32})-[0-9a-f]{16}\.dcm$/;
const ROOM_EVERY_MS = 200;

/** One object on its way into the spool. */
export interface Arrival {
  write(pieces: readonly Uint8Array[]): Promise<void>;
  /** The object is whole; it is on disk, under its final name, when this resolves. */
  keep(): Promise<void>;
  drop(): Promise<void>;
}

export class Spool {
  readonly #folder: string;
  readonly #limits: SpoolLimits;
  /** Complete files that wait for the cache, oldest first: name -> bytes. */
  readonly #waiting = new Map<string, number>();
  #bytes = 0;
  /** Of objects that are not complete yet. */
  #arrivingBytes = 0;
  #wake: () => void = () => undefined;

  private constructor(folder: string, limits: SpoolLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /** Takes up what an earlier run left, and removes what it had not finished writing. */
  static async open(folder: string, limits: SpoolLimits = SPOOL_LIMITS): Promise<Spool> {
    await ensureFolder(folder);
    await chmod(folder, 0o700);
    const spool = new Spool(folder, limits);
    for (const name of (await readdir(folder)).sort()) {
      const file = path.join(folder, name);
      if (COMPLETE.test(name)) spool.#add(name, (await stat(file)).size);
      else if (name.endsWith(".part")) await rm(file, { force: true });
    }
    return spool;
  }

  /** Complete objects that are not in the cache yet. */
  get count(): number {
    return this.#waiting.size;
  }

  async isFull(): Promise<boolean> {
    const { maxBytes, minFreeBytes } = this.#limits;
    return this.#bytes + this.#arrivingBytes >= maxBytes || (await freeBytes(this.#folder)) < minFreeBytes;
  }

  /**
   * Waits while the spool is full.
   * @throws the signal's reason
   */
  async room(signal: AbortSignal): Promise<void> {
    while (await this.isFull()) await delay(ROOM_EVERY_MS, undefined, { signal });
  }

  /** @param key HMAC of what the object is, so that one that is sent twice counts once */
  async begin(key: string): Promise<Arrival> {
    const random = randomBytes(8).toString("hex");
    const part = path.join(this.#folder, `${random}.part`);
    const file = await open(part, "wx", 0o600);
    let size = 0;
    const settle = (): void => {
      this.#arrivingBytes -= size;
    };
    return {
      write: async (pieces) => {
        await writeAll(file, pieces);
        const written = pieces.reduce((sum, { length }) => sum + length, 0);
        size += written;
        this.#arrivingBytes += written;
      },
      keep: async () => {
        settle();
        await file.datasync();
        await file.close();
        const name = `${key}-${random}.dcm`;
        await rename(part, path.join(this.#folder, name));
        await syncFolder(this.#folder);
        this.#add(name, size);
        this.#wake();
      },
      drop: async () => {
        settle();
        await file.close();
        await rm(part, { force: true });
      },
    };
  }

  /** The oldest complete objects, but for those at the paths `without`. */
  next(most: number, without: ReadonlySet<string> = new Set()): readonly FoundFile[] {
    const files: FoundFile[] = [];
    for (const name of this.#waiting.keys()) {
      if (files.length >= most) break;
      const file = path.join(this.#folder, name);
      if (!without.has(file)) files.push({ path: file, relativePath: COMPLETE.exec(name)?.[1] ?? name });
    }
    return files;
  }

  /** Their images are in the cache, or set aside for good. */
  async remove(files: readonly FoundFile[]): Promise<void> {
    for (const file of files) {
      await rm(file.path, { force: true });
      const name = path.basename(file.path);
      this.#bytes -= this.#waiting.get(name) ?? 0;
      this.#waiting.delete(name);
    }
  }

  /** Resolves when an object is kept, or after a while. */
  async arrival(atMostMs: number, signal: AbortSignal): Promise<void> {
    const timeout = new AbortController();
    const arrived = new Promise<void>((resolve) => (this.#wake = resolve));
    const late = delay(atMostMs, undefined, { signal: AbortSignal.any([signal, timeout.signal]) });
    await Promise.race([arrived, late.catch(() => undefined)]);
    timeout.abort();
  }

  #add(name: string, bytes: number): void {
    this.#waiting.set(name, bytes);
    this.#bytes += bytes;
  }
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) await file.writeFile(piece);
}
