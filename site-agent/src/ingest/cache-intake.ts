/** The one way of files into a cache, whatever their source: the filler, the manifest, and the counts. */
import { MINIMUM_USED, recordIntake, type FolderIntake } from "../dataset/intake.ts";
import { CacheFiller, type FillerOptions, type Taken } from "./cache-filler.ts";
import type { FoundFile } from "./folder.ts";
import { ManifestWriter } from "./manifest.ts";
import { Tally, type Verdict } from "./tally.ts";

export interface CacheIntakeOptions extends FillerOptions {
  /** Share of the files that has to be used, or training waits for an approval. */
  readonly minimumUsed?: number;
}

/** Where files come from: a folder, looked through anew each time, or what arrives over the network without end. */
export interface IntakeSource {
  readonly kind: "folder" | "received";
  /** HMAC under which its counts are kept. */
  readonly key: string;
}

/** Where files come one after the other, a series has ended when nothing of it came for so long. */
export const QUIET_MS = 120_000;

export interface TakeOptions {
  /** Stops between two files; what was read is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onTaken?: (file: FoundFile) => void;
  /** Files of a series wait, beyond this call, until nothing of it was taken for so long; 0 unless given. */
  readonly quietMs?: number;
}

export class CacheIntake {
  readonly tally: Tally;
  /** Keys of the volumes that files became. */
  readonly volumes = new Set<string>();
  readonly #options: CacheIntakeOptions;
  readonly #source: IntakeSource;
  readonly #filler: CacheFiller;
  readonly #manifest: ManifestWriter;
  /** Images of a folder and the file that gave each, to tell a second file of one image from a second look at it. */
  readonly #givenBy = new Map<string, string>();
  #onTaken: (file: FoundFile) => void = () => undefined;

  private constructor(
    options: CacheIntakeOptions,
    source: IntakeSource,
    parts: { readonly filler: CacheFiller; readonly manifest: ManifestWriter; readonly tally: Tally },
  ) {
    this.#options = options;
    this.#source = source;
    this.#filler = parts.filler;
    this.#manifest = parts.manifest;
    this.tally = parts.tally;
  }

  /** @throws config.invalid (a cache of another image size), cache.wrong-profile, disk.full */
  static async open(options: CacheIntakeOptions, source: IntakeSource): Promise<CacheIntake> {
    const { cacheDir } = options;
    const filler = await CacheFiller.open(options, (taken) => intake.#note(taken));
    const tally = new Tally();
    // What a damaged cache has lost is news when it comes again. Slices do not have their volume's key.
    const isThere = (key: string): boolean =>
      (options.profile?.volume ?? null) !== null || filler.keys.has(key);
    const manifest =
      source.kind === "folder"
        ? await ManifestWriter.begin(cacheDir)
        : await ManifestWriter.goOn(cacheDir, source.key, (key, verdict) => {
            if (verdict !== null || isThere(key)) tally.note(key, verdict);
          });
    const intake = new CacheIntake(options, source, { filler, manifest, tally });
    return intake;
  }

  /** Whether slices wait for the rest of their series. */
  get isWaiting(): boolean {
    return this.#filler.isWaiting;
  }

  /** Keys of the cached images. */
  get keys(): ReadonlySet<string> {
    return this.#filler.keys;
  }

  /**
   * Reads files into the cache. Images enter it in the order given, whatever the number of threads.
   * @throws the signal's reason
   */
  async take(
    files: AsyncIterable<FoundFile> | Iterable<FoundFile>,
    { signal, onTaken = () => undefined, quietMs = 0 }: TakeOptions = {},
  ): Promise<void> {
    this.#onTaken = onTaken;
    for await (const file of files) {
      signal?.throwIfAborted();
      await this.#filler.add(file);
    }
    await this.#filler.flush(quietMs, signal);
  }

  /** What was taken is in the cache and the manifest, for good, when this resolves. */
  async save(): Promise<void> {
    await this.#filler.commit();
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
    await this.#manifest.close();
    try {
      await this.#filler.commit();
    } finally {
      await this.#filler.close();
    }
  }

  async #note(taken: Taken): Promise<void> {
    const { file, key, volume } = taken;
    const verdict = this.#verdict(taken);
    if (verdict === null && volume !== undefined) this.volumes.add(volume);
    // Over the network one image is one thing, however often it is sent; in a folder each file is.
    const counted = this.#source.kind === "received" ? key : file.relativePath;
    if (this.tally.note(counted, verdict)) await this.#manifest.note(key, verdict);
    this.#onTaken(file);
  }

  #verdict({ file: { relativePath }, key, code }: Taken): Verdict {
    if (code !== null || this.#source.kind === "received") return code;
    const giver = this.#givenBy.get(key) ?? relativePath;
    this.#givenBy.set(key, giver);
    return giver === relativePath ? null : "dicom.duplicate";
  }
}
