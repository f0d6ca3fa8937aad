/**
 * Files through the reading threads into an image cache, in the order in which they were added; volumes once all of their
 * slices may be there, at the flush.
 */
import type { ErrorCode } from "@consilium/shared/errors";
import { GREY_IMAGES, type InputProfile } from "@consilium/shared/input-profile";
import { cacheLayout } from "../dataset/cache-format.ts";
import { CacheWriter, type LostImages } from "../dataset/cache-writer.ts";
import type { FoundFile } from "./folder.ts";
import { packKeys } from "./known-keys.ts";
import type { ReadResult } from "./read-image.ts";
import { ReadPool } from "./read-pool.ts";
import { VolumeCollector } from "./volume/collector.ts";
import { compositionOf, type Stack } from "./volume/group.ts";
import { VolumePool } from "./volume/volume-pool.ts";

export interface FillerOptions {
  readonly cacheDir: string;
  /** The site's HMAC secret. */
  readonly secret: Uint8Array;
  /** Side of the cached squares. */
  readonly sizePx: number;
  /** How values become grey: the plan's. Grey images under a plan's defaults unless given. */
  readonly profile?: InputProfile;
  /** Reading threads. */
  readonly threads: number;
  /** From when a thread begins with a file until the file is given up. */
  readonly timeoutMs?: number;
  /** What NIfTI files hold, as they do not say: a term of DICOM. Other unless given. */
  readonly niftiModality?: string;
  /** The cache was damaged: images are missing until their files are read again. */
  readonly onLost?: (lost: LostImages) => void;
}

/** What became of one file. */
export interface Taken {
  readonly file: FoundFile;
  /** The image's HMAC, or the file's where its header names no image. */
  readonly key: string;
  /** Why the file was set aside, or null if its image is in the cache. */
  readonly code: ErrorCode | null;
  /** The volume that it is part of, where the plan is for volumes and the file is used. */
  readonly volume?: string;
}

const DEFAULT_TIMEOUT_MS = 20_000;
/** Images between commits: what a crash costs at most. */
const COMMIT_EVERY = 512;
/** Files read ahead of the one whose turn it is, per thread. */
const AHEAD_PER_THREAD = 16;

export class CacheFiller {
  readonly #writer: CacheWriter;
  readonly #pool: ReadPool;
  /** Where the plan is for volumes. */
  readonly #volumes: VolumeCollector | null;
  readonly #limit: number;
  readonly #onTaken: (taken: Taken) => Promise<void>;
  readonly #ahead: { readonly file: FoundFile; readonly reading: Promise<ReadResult> }[] = [];
  #sinceCommit = 0;

  private constructor(writer: CacheWriter, options: FillerOptions, onTaken: (taken: Taken) => Promise<void>) {
    const { secret, sizePx, profile = GREY_IMAGES, threads, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#writer = writer;
    const { niftiModality = "OT" } = options;
    const pool = { threads, timeoutMs, secret, sizePx, profile, known: packKeys(writer.keys) };
    this.#pool = new ReadPool(pool);
    this.#limit = threads * AHEAD_PER_THREAD;
    this.#onTaken = onTaken;
    this.#volumes =
      profile.volume === null
        ? null
        : new VolumeCollector(new VolumePool({ ...pool, niftiModality }), threads + 1, {
            put: (result, stack) => this.#putVolume(result, stack),
            isLarger: (stack) => isLarger(stack, this.#writer),
            report: (taken) => this.#report(taken),
          });
  }

  /**
   * @param onTaken is told of each file, in order; its image is safe on disk after the next commit
   * @throws config.invalid (another image size), cache.wrong-profile, disk.full, cache.corrupt, cache.newer
   */
  static async open(
    options: FillerOptions,
    onTaken: (taken: Taken) => Promise<void> = () => Promise.resolve(),
  ): Promise<CacheFiller> {
    const { cacheDir, sizePx, profile = GREY_IMAGES, onLost = () => undefined } = options;
    const writer = await CacheWriter.open(cacheDir, cacheLayout(profile, sizePx));
    if (writer.lost.shards > 0) onLost(writer.lost);
    return new CacheFiller(writer, options, onTaken);
  }

  /** Keys of the images in the cache, committed or not. */
  get keys(): ReadonlySet<string> {
    return this.#writer.keys;
  }

  /** Whether slices wait for the rest of their series. */
  get isWaiting(): boolean {
    return this.#volumes?.isWaiting ?? false;
  }

  /** Begins to read the file; waits while too many are read ahead of the one whose turn it is. */
  async add(file: FoundFile): Promise<void> {
    if (this.#volumes !== null) {
      await this.#volumes.add(file);
      return;
    }
    const reading = this.#pool.read(file);
    // Whoever awaits it meets the failure; until then it is not an unhandled one.
    reading.catch(() => undefined);
    this.#ahead.push({ file, reading });
    if (this.#ahead.length >= this.#limit) await this.#takeNext();
  }

  /**
   * Takes all files that were added, puts their volumes together, and commits.
   * @param quietMs volumes wait until nothing of their series was added for so long
   */
  async flush(quietMs: number, signal?: AbortSignal): Promise<void> {
    while (this.#ahead.length > 0) {
      signal?.throwIfAborted();
      await this.#takeNext();
    }
    await this.#volumes?.flush(quietMs, signal);
    await this.commit();
  }

  async commit(): Promise<void> {
    this.#sinceCommit = 0;
    await this.#writer.commit();
  }

  /** Closes without taking what is still being read. */
  async close(): Promise<void> {
    await this.#pool.close();
    await this.#volumes?.close();
    await this.#writer.close();
  }

  async #takeNext(): Promise<void> {
    const next = this.#ahead.shift();
    if (next === undefined) return;
    const result = await next.reading;
    await this.#put(result);
    const code = result.outcome === "quarantined" ? result.code : null;
    await this.#report({ file: next.file, key: result.key, code });
  }

  async #put(result: ReadResult): Promise<void> {
    // The threads know what the cache held when they started; what came since is known here.
    if (result.outcome === "read" && !this.#writer.keys.has(result.key))
      await this.#writer.append(result.record, result.pixels);
  }

  /**
   * Of the volumes of one series the one of most slices is kept: a part that came alone neither stays for good nor replaces
   * the whole.
   * @returns why it is not in the cache, if it is not
   */
  async #putVolume(result: ReadResult, stack: Stack | null): Promise<ErrorCode | null> {
    if (result.outcome === "quarantined") return result.code;
    if (stack !== null && result.outcome === "read" && isLarger(stack, this.#writer)) {
      await this.#writer.replace(result.record, result.pixels);
      return null;
    }
    await this.#put(result);
    if (stack === null) return null;
    const { slices, composition = compositionOf(stack) } = this.#writer.volumeOf(result.key) ?? {};
    return slices === stack.slices.length && composition === compositionOf(stack) ? null : "volume.changed";
  }

  async #report(taken: Taken): Promise<void> {
    await this.#onTaken(taken);
    this.#sinceCommit += 1;
    if (this.#sinceCommit >= COMMIT_EVERY) await this.commit();
  }
}

function isLarger({ key, slices }: Stack, writer: CacheWriter): boolean {
  const cached = writer.volumeOf(key);
  return cached !== undefined && slices.length > cached.slices;
}
