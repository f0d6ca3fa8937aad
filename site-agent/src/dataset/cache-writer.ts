/**
 * Writing the image cache. Images are appended in the order given and become part of the cache at each commit;
 * a crash at any line leaves the last commit. Opening a damaged cache puts the shards that are damaged aside, so that
 * ingesting or fetching the same files again repairs it.
 */
import { randomBytes } from "node:crypto";
import {
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  type FileHandle,
} from "node:fs/promises";
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
  headerLost,
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
  /** What was found damaged when the cache was opened. */
  readonly lost: LostImages;
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
    this.lost = state.lost;
    this.layout = header;
    this.#recordBytes = recordBytes(header);
    this.#next = state.next;
  }

  /**
   * Opens or begins the cache in folder `dir`.
   * @param layout a number is the side of grey images under the plan's defaults
   * @throws config.invalid if the folder holds a cache of another size, cache.wrong-profile if its images became grey in
   * another way, cache.corrupt if its header is lost, cache.newer
   */
  static async open(dir: string, layout: CacheLayout | number): Promise<CacheWriter> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const header = cacheHeader(typeof layout === "number" ? cacheLayout(GREY_IMAGES, layout) : layout);
    const found = await readHeader(dir);
    if (found === null) {
      if (shardNumbers(await readdir(dir), ".json").length > 0) throw headerLost();
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

/** Images that a damaged cache no longer has. */
export interface LostImages {
  readonly shards: number;
  /** Counted by the shard's bytes where its index is damaged. */
  readonly images: number;
}

interface FolderState {
  readonly lost: LostImages;
  readonly keys: Set<string>;
  readonly volumes: Map<string, PlacedVolume>;
  /** The last shard if it has room, to go on with. */
  readonly last: { readonly number: number; readonly records: readonly StoredRecord[] } | null;
  /** Number of the next new shard. */
  readonly next: number;
}

/** Reads what the folder holds, every byte checked, puts aside what is damaged, and removes what was never committed. */
async function inspect(dir: string, header: CacheHeader): Promise<FolderState> {
  const keys = new Set<string>();
  const volumes = new Map<string, PlacedVolume>();
  const sound = new Set<number>();
  const damaged: number[] = [];
  let last: FolderState["last"] = null;
  for (const number of shardNumbers(await readdir(dir), ".json")) {
    const records = await readSoundShard(dir, number, recordBytes(header));
    if (records === null) damaged.push(number);
    if (records === null || records.some(({ image }) => keys.has(image))) continue;
    for (const { image, volume } of records) {
      keys.add(image);
      if (volume !== undefined) volumes.set(image, { volume, shard: number });
    }
    sound.add(number);
    last = records.length < header.recordsPerShard ? { number, records } : null;
  }
  const lost = await putAside(dir, damaged, recordBytes(header));
  await removeShards(dir, (number) => !sound.has(number));
  return { lost, keys, volumes, last, next: Math.max(-1, ...sound) + 1 };
}

/**
 * Which studies the images were of, nobody knows. The lists of what was fetched are forgotten first, so that the next pull asks for
 * all of it again; what is cached is not read twice.
 */
async function putAside(dir: string, damaged: readonly number[], bytes: number): Promise<LostImages> {
  if (damaged.length === 0) return { shards: 0, images: 0 };
  for (const name of await readdir(dir))
    if (/^pulled-[0-9a-f]+\.jsonl$/.test(name)) await rm(join(dir, name), { force: true });
  // A number may be damaged twice.
  const mark = randomBytes(4).toString("hex");
  let images = 0;
  for (const number of damaged) {
    const name = shardName(number);
    images += await countOf(join(dir, name), bytes);
    for (const suffix of ["u8", "json"])
      await rename(join(dir, `${name}.${suffix}`), join(dir, `damaged-${mark}-${name}.${suffix}`)).catch(
        ignoreMissing,
      );
  }
  return { shards: damaged.length, images };
}

async function countOf(path: string, bytes: number): Promise<number> {
  try {
    return parseShard(await readFile(`${path}.json`, "utf8")).length;
  } catch (error) {
    if (!(error instanceof ConsiliumError)) throw error;
  }
  const file = await stat(`${path}.u8`).catch(ignoreMissing);
  return Math.floor((file?.size ?? 0) / bytes);
}

function ignoreMissing(error: unknown): undefined {
  if (errorCode(error) !== "ENOENT") throw error;
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
    if (errorCode(error) === "ENOENT") return null;
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
