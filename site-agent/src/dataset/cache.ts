/** Reading the image cache: random access to fixed-size records, each checked as it is read. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { ConsiliumError } from "@consilium/shared/errors";
import {
  CACHE_FILE,
  parseCacheHeader,
  parseShard,
  shardName,
  shardNumbers,
  type CachedRecord,
  type CacheHeader,
  type CacheLayout,
} from "./cache-format.ts";
import { errorCode } from "./files.ts";
import { recordBytes, type ImageCache } from "./types.ts";

export type { CachedRecord } from "./cache-format.ts";

/** An ImageCache that also knows each original's size, view and body part, and how all became grey. */
export interface CachedImages extends ImageCache, CacheLayout {
  readonly records: readonly CachedRecord[];
}

const OPEN_ATTEMPTS = 5;

interface Place {
  readonly file: number;
  readonly offset: number;
  readonly crc: number;
}

/**
 * Opens the cache in folder `dir` as it stands; images that an ingest adds later are seen by the next open.
 * @throws cache.missing, with its name, where the folder holds none; cache.corrupt if a file is damaged or shorter than
 *   its index says
 */
export async function openImageCache(dir: string): Promise<CachedImages> {
  const header = parseCacheHeader(await readOrMissing(join(dir, CACHE_FILE)));
  for (let attempt = 1; ; attempt++) {
    try {
      return await openShards(dir, header);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      // A shard that was replaced after the folder was listed: the new one is in the next list.
      if (attempt === OPEN_ATTEMPTS) throw new ConsiliumError("cache.corrupt", { cause: error });
    }
  }
}

/** Of a volume that is being replaced both versions may be there: the first counts, as for CacheWriter. */
async function openShards(dir: string, header: CacheHeader): Promise<CachedImages> {
  const { sizePx, depthPx, channels, profile } = header;
  const bytes = recordBytes(header);
  const met = new Set<string>();
  const records: CachedRecord[] = [];
  const places: Place[] = [];
  const files: number[] = [];
  const close = (): void => {
    for (const file of files.splice(0)) closeSync(file);
  };
  try {
    for (const number of shardNumbers(await readdir(dir), ".json")) {
      const stored = parseShard(await readFile(join(dir, `${shardName(number)}.json`), "utf8"));
      const file = openSync(join(dir, `${shardName(number)}.u8`), "r");
      files.push(file);
      if (fstatSync(file).size < stored.length * bytes) throw new ConsiliumError("cache.corrupt");
      stored.forEach(({ crc, ...record }, i) => {
        if (met.has(record.image)) return;
        met.add(record.image);
        records.push(record);
        places.push({ file, offset: i * bytes, crc });
      });
    }
  } catch (error) {
    close();
    throw error;
  }

  const read = (indices: ArrayLike<number>, out: Uint8Array): void => {
    if (out.length < indices.length * bytes)
      throw new RangeError(`${indices.length} images do not fit in ${out.length} bytes`);
    for (let i = 0; i < indices.length; i++) {
      const place = places[indices[i] ?? -1];
      if (place === undefined) throw new RangeError(`the cache has no image ${indices[i]}`);
      const target = out.subarray(i * bytes, (i + 1) * bytes);
      if (readSync(place.file, target, 0, bytes, place.offset) !== bytes)
        throw new ConsiliumError("cache.corrupt");
      if (crc32(target) !== place.crc) throw new ConsiliumError("cache.corrupt");
    }
  };
  return { sizePx, depthPx, channels, profile, records, read, close };
}

async function readOrMissing(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      const name = basename(dirname(path));
      throw new ConsiliumError("cache.missing", { detail: `("${name}")`, culprits: [name], cause: error });
    }
    throw error;
  }
}
