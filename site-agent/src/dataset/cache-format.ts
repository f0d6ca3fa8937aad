/**
 * The cache's files:
 *
 *     cache.json        format, version, layout of a record, records per shard
 *     shard-00000.u8    records, one after the other: channels x depthPx x sizePx x sizePx bytes each
 *     shard-00000.json  what those images are, and checksums
 *     labels.json       image key -> label (labels.ts); findings.json, boxes.json and masks.json likewise
 *     manifest.jsonl    what became of each file of the last folder (ingest/manifest.ts)
 *     received-*.jsonl  what became of each file that came over the network, one such list for each source
 *     damaged-*         shards that were found damaged, put aside; they do not count
 *     intake.json       counts of that for each folder, and approvals (intake.ts)
 *
 * A shard's json is replaced in one step after its bytes are safe on disk. Bytes beyond what the json lists are
 * left from an ingest that was cut off; they do not count.
 *
 * Version 1 held grey images alone, made under the plan's defaults of that time.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { VENDORS } from "@consilium/shared/fingerprint/layout";
import { sha256Schema, type Sha256 } from "@consilium/shared/ids";
import { jsonOrNull } from "@consilium/shared/json";
import { inputProfileHash, GREY_IMAGES, type InputProfile } from "@consilium/shared/input-profile";
import { z } from "zod";
import { keySchema } from "./keys.ts";
import { recordBytes, type RecordShape } from "./types.ts";

export const CACHE_FILE = "cache.json";
const CACHE_VERSION = 2;
/** Under which the images of version 1 were made. */
const PROFILE_OF_VERSION_1 = inputProfileHash(GREY_IMAGES);

/** Bytes of a full shard, at most; a shard holds at least one record. */
const SHARD_BYTES = 64 * 1024 * 1024;

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
  /** Where these rows and columns begin in the original, if only a region of it was taken (ultrasound). */
  left: z.int().min(0).max(65_534).optional(),
  top: z.int().min(0).max(65_534).optional(),
  /** Class of the manufacturer; caches of before have none. */
  vendor: z.enum(VENDORS).optional(),
  /** From pixel to pixel of the original, in micrometres, if the header says. */
  spacingUm: z.int().min(1).max(1_000_000).optional(),
  /** Of volumes alone: what they were before they were laid on the plan's grid. */
  volume: z
    .strictObject({
      slices: z.int().min(1),
      /** Digest of which slices these were; caches of before have none. */
      composition: keySchema.optional(),
      /** From slice to slice, row to row, column to column. */
      spacingMm: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
    })
    .optional(),
});
export type CachedRecord = z.infer<typeof cachedRecordSchema>;

const storedRecordSchema = cachedRecordSchema.extend({
  /** CRC-32 of the image's bytes. */
  crc: z.int().min(0).max(0xffff_ffff),
});
export type StoredRecord = z.infer<typeof storedRecordSchema>;

const shardSchema = z.strictObject({
  version: z.literal([1, CACHE_VERSION]),
  records: z.array(storedRecordSchema),
  /** SHA-256 of the records' canonical JSON. */
  sha256: z.string(),
});

/** How all records of a cache are laid out, and how they were made. */
export interface CacheLayout extends RecordShape {
  /** Hash of the profile by which values became grey (shared/input-profile.ts). */
  readonly profile: Sha256;
}

export interface CacheHeader extends CacheLayout {
  readonly recordsPerShard: number;
}

const common = {
  format: z.literal("consilium-image-cache"),
  sizePx: z.int().min(1).max(4096),
  recordsPerShard: z.int().min(1),
};
const cacheSchema = z.discriminatedUnion("version", [
  z.strictObject({ ...common, version: z.literal(1) }),
  z.strictObject({
    ...common,
    version: z.literal(CACHE_VERSION),
    channels: z.int().min(1).max(16),
    depthPx: z.int().min(1).max(4096),
    profile: sha256Schema,
  }),
]);

/** Records as the profile asks for, in squares of this side. */
export function cacheLayout(profile: InputProfile, sizePx: number): CacheLayout {
  const depthPx = profile.volume?.depthPx ?? 1;
  return { sizePx, depthPx, channels: profile.channels, profile: inputProfileHash(profile) };
}

export function cacheHeader(layout: CacheLayout): CacheHeader {
  const { sizePx, depthPx, channels, profile } = layout;
  const recordsPerShard = Math.min(4096, Math.max(1, Math.floor(SHARD_BYTES / recordBytes(layout))));
  return { sizePx, depthPx, channels, profile, recordsPerShard };
}

export function encodeCacheHeader(header: CacheHeader): string {
  return `${JSON.stringify({ format: "consilium-image-cache", version: CACHE_VERSION, ...header })}\n`;
}

const newerSchema = z.looseObject({ format: common.format, version: z.int().min(CACHE_VERSION + 1) });

/** @throws cache.corrupt, cache.newer */
export function parseCacheHeader(text: string): CacheHeader {
  const json = jsonOrNull(text);
  if (newerSchema.safeParse(json).success) throw new ConsiliumError("cache.newer");
  const parsed = cacheSchema.safeParse(json);
  if (!parsed.success) throw headerLost();
  const { data } = parsed;
  const { sizePx, recordsPerShard } = data;
  if (data.version === 1)
    return { sizePx, depthPx: 1, channels: 1, profile: PROFILE_OF_VERSION_1, recordsPerShard };
  const { depthPx, channels, profile } = data;
  return { sizePx, depthPx, channels, profile, recordsPerShard };
}

/** Without its header nobody knows how long a record is. */
export const headerLost = (): ConsiliumError =>
  new ConsiliumError("cache.corrupt", {
    detail: "(cache.json: restore it from a backup, or remove the cache's folder and ingest again)",
  });

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
