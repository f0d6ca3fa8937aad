/**
 * The cache's files:
 *
 *     cache.json        format, version, side of the images, records per shard
 *     shard-00000.u8    sizePx^2 bytes per image, one after the other
 *     shard-00000.json  what those images are, and checksums
 *     labels.json       image key -> label (labels.ts); findings.json, boxes.json and masks.json likewise
 *     manifest.jsonl    what became of each file of the last ingest (ingest/manifest.ts)
 *     intake.json       counts of that for each folder, and approvals (intake.ts)
 *
 * A shard's json is replaced in one step after its bytes are safe on disk. Bytes beyond what the json lists are
 * left from an ingest that was cut off; they do not count.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";

export const CACHE_FILE = "cache.json";
export const CACHE_VERSION = 1;

/** Bytes of a full shard, at most; a shard holds at least one image. */
const SHARD_BYTES = 64 * 1024 * 1024;

const keySchema = z.string().regex(/^[0-9a-f]{32}$/);

/** What the cache keeps of an image's header: nothing of it is free text. */
export const cachedRecordSchema = z.strictObject({
  image: keySchema,
  patient: keySchema,
  /** A defined term of DICOM, or OT. */
  modality: z.string().regex(/^[A-Z]{2,8}$/),
  /** A defined term (AP, PA, LL, ...), or null. */
  view: z
    .string()
    .regex(/^[A-Z]{2,8}$/)
    .nullable(),
  /** A defined term (CHEST, ...), or null. */
  bodyPart: z
    .string()
    .regex(/^[A-Z]{2,16}$/)
    .nullable(),
  /** Size of the original, from which the place of a box or mask in the cached square follows. */
  rows: z.int().min(1).max(65_535),
  columns: z.int().min(1).max(65_535),
});
export type CachedRecord = z.infer<typeof cachedRecordSchema>;

const storedRecordSchema = cachedRecordSchema.extend({
  /** CRC-32 of the image's bytes. */
  crc: z.int().min(0).max(0xffff_ffff),
});
export type StoredRecord = z.infer<typeof storedRecordSchema>;

const shardSchema = z.strictObject({
  version: z.literal(CACHE_VERSION),
  records: z.array(storedRecordSchema),
  /** SHA-256 of the records' canonical JSON. */
  sha256: z.string(),
});

const cacheSchema = z.strictObject({
  format: z.literal("consilium-image-cache"),
  version: z.literal(CACHE_VERSION),
  sizePx: z.int().min(1).max(4096),
  recordsPerShard: z.int().min(1),
});
export type CacheHeader = z.infer<typeof cacheSchema>;

export function cacheHeader(sizePx: number): CacheHeader {
  const recordsPerShard = Math.min(4096, Math.max(1, Math.floor(SHARD_BYTES / sizePx ** 2)));
  return { format: "consilium-image-cache", version: CACHE_VERSION, sizePx, recordsPerShard };
}

/** @throws cache.corrupt */
export function parseCacheHeader(text: string): CacheHeader {
  const parsed = cacheSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new ConsiliumError("cache.corrupt");
  return parsed.data;
}

export function encodeShard(records: readonly StoredRecord[]): string {
  return `${JSON.stringify({ version: CACHE_VERSION, records, sha256: sha256(canonicalJson(records)) })}\n`;
}

/** @throws cache.corrupt if it is not what encodeShard wrote */
export function parseShard(text: string): readonly StoredRecord[] {
  const parsed = shardSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new ConsiliumError("cache.corrupt");
  if (sha256(canonicalJson(parsed.data.records)) !== parsed.data.sha256)
    throw new ConsiliumError("cache.corrupt");
  return parsed.data.records;
}

export const shardName = (number: number): string => `shard-${String(number).padStart(5, "0")}`;

/** The numbers of the shards among a folder's entries, ascending. */
export function shardNumbers(entries: readonly string[], suffix: ".u8" | ".json"): number[] {
  return entries
    .flatMap((name) => {
      const match = /^shard-(\d{5,})(\.u8|\.json)$/.exec(name);
      return match?.[2] === suffix ? [Number(match[1])] : [];
    })
    .sort((a, b) => a - b);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConsiliumError("cache.corrupt", { cause });
  }
}
