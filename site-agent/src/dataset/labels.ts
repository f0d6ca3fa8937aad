/** Class labels of cached images, kept beside the cache as `labels.json`: image key -> label. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";
import { errorCode, writeFileAtomic } from "./files.ts";
import type { ImageRecord } from "./types.ts";

const LABELS_FILE = "labels.json";

/** Letters, digits and a few signs: a name of a class, not a report. */
export const labelTextSchema = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9 ._+-]{0,46}[A-Za-z0-9+])?$/);

const labelsSchema = z.strictObject({
  version: z.literal(1),
  labels: z.record(z.string().regex(/^[0-9a-f]{32}$/), labelTextSchema),
});

/** Image key -> label. */
export type Labels = ReadonlyMap<string, string>;

/** One labelled image of a cache. */
export interface LabelledImage {
  /** Place in the cache's records, as ImageCache.read takes it. */
  readonly index: number;
  readonly patient: string;
  readonly label: string;
}

/**
 * The labels of the cache in folder `dir`; empty where none were given.
 * @throws cache.corrupt if the file is damaged
 */
export async function readLabels(dir: string): Promise<Labels> {
  let text: string;
  try {
    text = await readFile(join(dir, LABELS_FILE), "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return new Map();
    throw error;
  }
  const parsed = labelsSchema.safeParse(parseOrNull(text));
  if (!parsed.success) throw new ConsiliumError("cache.corrupt", { detail: "(labels)" });
  return new Map(Object.entries(parsed.data.labels));
}

/** Replaces the labels of the cache in one step. */
export async function writeLabels(dir: string, labels: Labels): Promise<void> {
  const sorted = Object.fromEntries([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFileAtomic(join(dir, LABELS_FILE), `${JSON.stringify({ version: 1, labels: sorted })}\n`);
}

/** The images that have a label, in the order of the cache. */
export function labelledImages(records: readonly ImageRecord[], labels: Labels): LabelledImage[] {
  return records.flatMap(({ image, patient }, index) => {
    const label = labels.get(image);
    return label === undefined ? [] : [{ index, patient, label }];
  });
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
