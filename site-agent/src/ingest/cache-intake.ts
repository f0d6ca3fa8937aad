/** The one way of files into a cache, whatever their source: reading threads, cache, manifest, counts. */
import { CacheWriter } from "../dataset/cache-writer.ts";
import { MINIMUM_USED, recordIntake, type FolderIntake } from "../dataset/intake.ts";
import type { FoundFile } from "./folder.ts";
import { packKeys } from "./known-keys.ts";
import { ManifestWriter } from "./manifest.ts";
import type { ReadResult } from "./read-image.ts";
import { ReadPool } from "./read-pool.ts";
import { Tally, type Verdict } from "./tally.ts";

export interface CacheIntakeOptions {
  readonly cacheDir: string;
  /** The site's HMAC secret. */
  readonly secret: Uint8Array;
  /** Side of the cached squares. */
  readonly sizePx: number;
  /** Reading threads. */
  readonly threads: number;
  /** From when a thread begins with a file until the file is given up. */
  readonly timeoutMs?: number;
  /** Share of the files that has to be used, or training waits for an approval. */
  readonly minimumUsed?: number;
}

/** Where files come from: a folder, looked through anew each time, or what arrives over the network without end. */
export interface IntakeSource {
  readonly kind: "folder" | "received";
  /** HMAC under which its counts are kept. */
  readonly key: string;
}

const DEFAULT_TIMEOUT_MS = 20_000;
/** Images between commits: what a crash costs at most. */
const COMMIT_EVERY = 512;
/** Files read ahead of the one whose turn it is, per thread. */
const AHEAD_PER_THREAD = 16;

export interface TakeOptions {
  /** Stops between two files; what was read is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onTaken?: () => void;
}

interface Reading {
  readonly file: FoundFile;
  readonly result: Promise<ReadResult>;
}

export class CacheIntake {
  readonly tally: Tally;
  readonly #options: CacheIntakeOptions;
  readonly #source: IntakeSource;
  readonly #writer: CacheWriter;
  readonly #manifest: ManifestWriter;
  readonly #pool: ReadPool;
  /** Images of a folder and the file that gave each, to tell a second file of one image from a second look at it. */
  readonly #givenBy = new Map<string, string>();
  #uncommitted = 0;

  private constructor(
    options: CacheIntakeOptions,
    source: IntakeSource,
    parts: { readonly writer: CacheWriter; readonly manifest: ManifestWriter; readonly tally: Tally },
  ) {
    this.#options = options;
    this.#source = source;
    this.#writer = parts.writer;
    this.#manifest = parts.manifest;
    this.tally = parts.tally;
    const { threads, secret, sizePx, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#pool = new ReadPool({ threads, timeoutMs, secret, sizePx, known: packKeys(this.#writer.keys) });
  }

  /** @throws config.invalid (a cache of another image size), disk.full */
  static async open(options: CacheIntakeOptions, source: IntakeSource): Promise<CacheIntake> {
    const { cacheDir, sizePx } = options;
    const writer = await CacheWriter.open(cacheDir, sizePx);
    const tally = new Tally();
    const manifest =
      source.kind === "folder"
        ? await ManifestWriter.begin(cacheDir)
        : await ManifestWriter.goOn(cacheDir, source.key, (key, verdict) => tally.note(key, verdict));
    return new CacheIntake(options, source, { writer, manifest, tally });
  }

  /** Keys of the cached images. */
  get keys(): ReadonlySet<string> {
    return this.#writer.keys;
  }

  /**
   * Reads files into the cache. Images enter it in the order given, whatever the number of threads.
   * @throws the signal's reason
   */
  async take(
    files: AsyncIterable<FoundFile> | Iterable<FoundFile>,
    options: TakeOptions = {},
  ): Promise<void> {
    // Results are taken in order; reading runs ahead of it by a bounded number of files.
    const ahead: Reading[] = [];
    for await (const file of files) {
      options.signal?.throwIfAborted();
      const result = this.#pool.read(file);
      // Whoever awaits it meets the failure; until then it is not an unhandled one.
      result.catch(() => undefined);
      ahead.push({ file, result });
      if (ahead.length >= this.#options.threads * AHEAD_PER_THREAD) await this.#takeNext(ahead, options);
    }
    while (ahead.length > 0) {
      options.signal?.throwIfAborted();
      await this.#takeNext(ahead, options);
    }
  }

  /** What was taken is in the cache and the manifest, for good, when this resolves. */
  async save(): Promise<void> {
    await this.#commit();
    await this.#manifest.save();
  }

  /** Puts the source's counts down beside the cache. There has to be something to count. */
  async record(): Promise<FolderIntake> {
    const { files, used, quarantined } = this.tally;
    const minimumUsed = this.#options.minimumUsed ?? MINIMUM_USED;
    const found = { files, used, quarantined, minimumUsed };
    return recordIntake(this.#options.cacheDir, this.#source.key, found);
  }

  /** Commits the images that were taken. */
  async close(): Promise<void> {
    await this.#pool.close();
    await this.#manifest.close();
    try {
      await this.#commit();
    } finally {
      await this.#writer.close();
    }
  }

  async #takeNext(ahead: Reading[], { onTaken }: TakeOptions): Promise<void> {
    const next = ahead.shift();
    if (next === undefined) return;
    await this.#takeResult(next.file, await next.result);
    onTaken?.();
  }

  async #takeResult(file: FoundFile, result: ReadResult): Promise<void> {
    const verdict = this.#verdict(file, result);
    if (verdict === null && result.outcome === "read" && !this.#writer.keys.has(result.key))
      await this.#writer.append(result.record, result.pixels);
    // Over the network one image is one thing, however often it is sent; in a folder each file is.
    const counted = this.#source.kind === "received" ? result.key : file.relativePath;
    if (this.tally.note(counted, verdict)) await this.#manifest.note(result.key, verdict);
    this.#uncommitted += 1;
    if (this.#uncommitted >= COMMIT_EVERY) await this.#commit();
  }

  async #commit(): Promise<void> {
    await this.#writer.commit();
    this.#uncommitted = 0;
  }

  #verdict({ relativePath }: FoundFile, result: ReadResult): Verdict {
    if (result.outcome === "quarantined") return result.code;
    if (this.#source.kind === "received") return null;
    const giver = this.#givenBy.get(result.key) ?? relativePath;
    this.#givenBy.set(result.key, giver);
    return giver === relativePath ? null : "dicom.duplicate";
  }
}
