/**
 * The files of masks beside a cache:
 *
 *     masks.json              classes, side, slices, which set of shards counts; of each record image key, checksum and the
 *                             classes that were looked for, if they are not all of the set's (of version 1 they are)
 *     masks-SET-00000.u8      classes x depthPx x sizePx^2 bytes per image or volume, class after class
 *
 * A set is written whole under a new name and counts once masks.json names it; shards of another set are left from a
 * writer that was cut off.
 */
import { join } from "node:path";
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";
import { readBesideCache } from "./beside-cache.ts";
import { keySchema } from "./keys.ts";
import { labelTextSchema } from "@consilium/shared/label-text";

export const MASKS_FILE = "masks.json";

/** Bytes of a full shard, at most; a shard holds at least one image. */
const SHARD_BYTES = 64 * 1024 * 1024;

const recordSchema = z.strictObject({
  image: keySchema,
  /** CRC-32 of the record's bytes. */
  crc: z.int().min(0).max(0xffff_ffff),
  /** Sorted; without it all of the set's classes. */
  known: z.array(labelTextSchema).optional(),
});
export type MaskRecord = z.infer<typeof recordSchema>;

const contentsSchema = z.strictObject({
  classes: z.array(labelTextSchema),
  sizePx: z.int().min(1).max(4096),
  /** Of volumes alone. */
  depthPx: z.int().min(2).max(4096).optional(),
  set: z.string().regex(/^[0-9a-f]{16}$/),
  records: z.array(recordSchema),
});
export type MaskContents = z.infer<typeof contentsSchema>;

const masksSchema = z.strictObject({
  version: z.union([z.literal(1), z.literal(2)]),
  contents: contentsSchema,
  sha256: z.string(),
});

export const maskShardName = (set: string, number: number): string =>
  `masks-${set}-${String(number).padStart(5, "0")}.u8`;

/** The set that a file is a shard of, or null for other files. */
export const setOfShard = (name: string): string | null =>
  /^masks-([0-9a-f]{16})-\d{5,}\.u8$/.exec(name)?.[1] ?? null;

export const maskRecordBytes = ({
  classes,
  sizePx,
  depthPx = 1,
}: Pick<MaskContents, "classes" | "sizePx" | "depthPx">): number => classes.length * depthPx * sizePx ** 2;

export const recordsPerShard = (recordBytes: number): number =>
  Math.max(1, Math.floor(SHARD_BYTES / Math.max(1, recordBytes)));

export const encodeMasks = (contents: MaskContents): string =>
  `${JSON.stringify({ version: 2, contents, sha256: sha256(canonicalJson(contents)) })}\n`;

/** Null where the folder has no masks. @throws cache.corrupt */
export async function readMaskContents(dir: string): Promise<MaskContents | null> {
  const file = await readBesideCache(join(dir, MASKS_FILE), masksSchema, "masks");
  if (file === null) return null;
  if (sha256(canonicalJson(file.contents)) !== file.sha256) throw damaged();
  return file.contents;
}

export const damaged = (): ConsiliumError => new ConsiliumError("cache.corrupt", { detail: "(masks)" });
