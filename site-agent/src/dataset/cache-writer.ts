/**
 * Writing the image cache. Images are appended in the order given and become part of the cache at each commit;
 * a crash at any line leaves the last commit. Opening a damaged cache drops the shards that are damaged, so that
 * ingesting the same files again repairs it.
 */
import { copyFile, mkdir, open, readdir, readFile, rm, truncate, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ConsiliumError } from "@consilium/shared/errors";
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import {
  CACHE_FILE,
  cacheHeader,
  cacheLayout,
  encodeCacheHeader,
  encodeShard,
  parseCacheHeader,
  parseShard,
  shardName,
  shardNumbers,
  type CachedRecord,
  type CacheHeader,
  type CacheLayout,
  type StoredRecord,
} from "./cache-format.ts";
import { errorCode, writeFileAtomic } from "./files.ts";
import { describeShape, recordBytes } from "./types.ts";

type CachedVolume = NonNullable<CachedRecord["volume"]>;

interface PlacedVolume {
  readonly volume: CachedVolume;
  /** Number of the shard that holds it. */
  readonly shard: number;
}

/** A shard that still has room. */
interface OpenShard {
  readonly number: number;
  readonly records: StoredRecord[];
  readonly file: FileHandle;
}

export class CacheWriter {
  readonly layout: CacheLayout;
  /** Keys of the images that are cached already. */
  readonly keys: ReadonlySet<string>;
  readonly #dir: string;
  readonly #header: CacheHeader;
  readonly #keys: Set<string>;
  readonly #volumes: Map<string, PlacedVolume>;
  readonly #recordBytes: number;
  #shard: OpenShard | null = null;
  #next: number;
  #uncommitted = 0;

  private constructor(dir: string, header: CacheHeader, state: FolderState) {
    this.#dir = dir;
    this.#header = header;
    this.#keys = state.keys;
    this.#volumes = state.volumes;
    this.keys = state.keys;
    this.layout = header;
    this.#recordBytes = recordBytes(header);
    this.#next = state.next;
  }

  /**
   * Opens or begins the cache in folder `dir`.
   * @param layout a number is the side of grey images under the plan's defaults
   * @throws config.invalid if the folder holds a cache of another size, cache.wrong-profile if its images became grey in
   * another way
   */
  static async open(dir: string, layout: CacheLayout | number): Promise<CacheWriter> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const header = cacheHeader(typeof layout === "number" ? cacheLayout(GREY_IMAGES, layout) : layout);
    const found = await readHeader(dir);
    if (found === null) {
      // Shards without a header cannot be read: their size is unknown.
      await removeShards(dir, () => true);
      await writeFileAtomic(join(dir, CACHE_FILE), encodeCacheHeader(header));
    } else assertSameLayout(found, header);
    const state = await inspect(dir, found ?? header);
    const writer = new CacheWriter(dir, found ?? header, state);
    if (state.last !== null) await writer.#reopen(state.last.number, state.last.records);
    return writer;
  }

  /** Images in the cache, committed or not. */
  get count(): number {
    return this.#keys.size;
  }

  /** What the volume with this key was made from, if the cache holds it. */
  volumeOf(key: string): CachedVolume | undefined {
    return this.#volumes.get(key)?.volume;
  }

  /**
   * Appends one image. It is part of the cache after the next commit.
   * @param pixels as ImageCache.read gives them back
   */
  async append(record: CachedRecord, pixels: Uint8Array): Promise<void> {
    if (pixels.length !== this.#recordBytes) throw new RangeError(`an image of ${pixels.length} bytes`);
    if (this.#keys.has(record.image)) throw new RangeError("the image is cached already");
    if (this.#shard !== null && this.#shard.records.length >= this.#header.recordsPerShard) {
      await this.commit();
      await this.#shard.file.close();
      this.#shard = null;
    }
    this.#shard ??= await this.#begin();
    const { file, records } = this.#shard;
    await writeAll(file, pixels, records.length * pixels.length);
    records.push({ ...record, crc: crc32(pixels) });
    this.#keys.add(record.image);
    if (record.volume !== undefined)
      this.#volumes.set(record.image, { volume: record.volume, shard: this.#shard.number });
    this.#uncommitted += 1;
  }

  /**
   * Puts a volume in the place of the one with its key. Its shard is written anew under another number and the old one
   * removed after that, so that a crash at any line leaves one of the two: opening drops a shard whose images others hold.
   * What was appended before is committed.
   */
  async replace(record: CachedRecord, pixels: Uint8Array): Promise<void> {
    const placed = this.#volumes.get(record.image);
    if (placed === undefined || record.volume === undefined) throw new RangeError("no such volume is cached");
    await this.commit();
    const old = placed.shard;
    const isOpen = this.#shard?.number === old;
    if (isOpen) await this.#shard?.file.close();
    const records = parseShard(await readFile(this.#path(old, "json"), "utf8"));
    const index = records.findIndex(({ image }) => image === record.image);
    const number = this.#next++;
    await copyFile(this.#path(old, "u8"), this.#path(number, "u8"));
    const file = await open(this.#path(number, "u8"), "r+");
    await writeAll(file, pixels, index * pixels.length);
    await file.sync();
    const renewed = records.with(index, { ...record, crc: crc32(pixels) });
    await writeFileAtomic(this.#path(number, "json"), encodeShard(renewed));
    for (const suffix of ["json", "u8"] as const) await rm(this.#path(old, suffix), { force: true });
    for (const { image, volume } of renewed)
      if (volume !== undefined) this.#volumes.set(image, { volume, shard: number });
    if (isOpen) this.#shard = { number, records: renewed, file };
    else await file.close();
  }

  /** Bytes first, index after: what the index lists is on disk. */
  async commit(): Promise<void> {
    if (this.#shard === null || this.#uncommitted === 0) return;
    await this.#shard.file.sync();
    await writeFileAtomic(this.#path(this.#shard.number, "json"), encodeShard(this.#shard.records));
    this.#uncommitted = 0;
  }

  /** Closes without committing. */
  async close(): Promise<void> {
    await this.#shard?.file.close();
    this.#shard = null;
  }

  async #begin(): Promise<OpenShard> {
    const number = this.#next++;
    return { number, records: [], file: await open(this.#path(number, "u8"), "w", 0o600) };
  }

  async #reopen(number: number, records: readonly StoredRecord[]): Promise<void> {
    const path = this.#path(number, "u8");
    await truncate(path, records.length * this.#recordBytes);
    this.#shard = { number, records: [...records], file: await open(path, "r+") };
  }

  #path(number: number, suffix: "u8" | "json"): string {
    return join(this.#dir, `${shardName(number)}.${suffix}`);
  }
}

/** @throws config.invalid, cache.wrong-profile */
function assertSameLayout(found: CacheLayout, wanted: CacheLayout): void {
  if (found.sizePx !== wanted.sizePx || found.depthPx !== wanted.depthPx) {
    throw new ConsiliumError("config.invalid", {
      detail: `(this cache holds images of ${describeShape(found)}, not ${describeShape(wanted)}: name another cache)`,
      culprits: ["size"],
    });
  }
  if (found.profile !== wanted.profile) throw new ConsiliumError("cache.wrong-profile");
}

interface FolderState {
  readonly keys: Set<string>;
  readonly volumes: Map<string, PlacedVolume>;
  /** The last shard if it has room, to go on with. */
  readonly last: { readonly number: number; readonly records: readonly StoredRecord[] } | null;
  /** Number of the next new shard. */
  readonly next: number;
}

/** Reads what the folder holds, every byte checked, and removes what is damaged or was never committed. */
async function inspect(dir: string, header: CacheHeader): Promise<FolderState> {
  const keys = new Set<string>();
  const volumes = new Map<string, PlacedVolume>();
  const sound = new Set<number>();
  let last: FolderState["last"] = null;
  for (const number of shardNumbers(await readdir(dir), ".json")) {
    const records = await readSoundShard(dir, number, recordBytes(header));
    if (records === null || records.some(({ image }) => keys.has(image))) continue;
    for (const { image, volume } of records) {
      keys.add(image);
      if (volume !== undefined) volumes.set(image, { volume, shard: number });
    }
    sound.add(number);
    last = records.length < header.recordsPerShard ? { number, records } : null;
  }
  await removeShards(dir, (number) => !sound.has(number));
  return { keys, volumes, last, next: Math.max(-1, ...sound) + 1 };
}

async function readSoundShard(
  dir: string,
  number: number,
  bytes: number,
): Promise<readonly StoredRecord[] | null> {
  let file: FileHandle | null = null;
  try {
    const records = parseShard(await readFile(join(dir, `${shardName(number)}.json`), "utf8"));
    file = await open(join(dir, `${shardName(number)}.u8`), "r");
    const buffer = new Uint8Array(bytes);
    for (const [i, { crc }] of records.entries()) {
      const { bytesRead } = await file.read(buffer, 0, bytes, i * bytes);
      if (bytesRead !== bytes || crc32(buffer) !== crc) return null;
    }
    return records;
  } catch (error) {
    if (error instanceof ConsiliumError || errorCode(error) === "ENOENT") return null;
    throw error;
  } finally {
    await file?.close();
  }
}

async function readHeader(dir: string): Promise<CacheHeader | null> {
  try {
    return parseCacheHeader(await readFile(join(dir, CACHE_FILE), "utf8"));
  } catch (error) {
    if (error instanceof ConsiliumError || errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

async function removeShards(dir: string, unwanted: (number: number) => boolean): Promise<void> {
  const entries = await readdir(dir);
  for (const suffix of [".json", ".u8"] as const)
    for (const number of shardNumbers(entries, suffix))
      if (unwanted(number)) await rm(join(dir, `${shardName(number)}${suffix}`), { force: true });
}

async function writeAll(file: FileHandle, data: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < data.length) {
    const { bytesWritten } = await file.write(data, written, data.length - written, position + written);
    written += bytesWritten;
  }
}
