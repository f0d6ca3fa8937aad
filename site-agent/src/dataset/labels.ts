/** Class labels of cached images, kept beside the cache as `labels.json`: image key -> label. */
import { join } from "node:path";
import { labelTextSchema } from "@consilium/shared/label-text";
import { z } from "zod";
import { readBesideCache, writeMapBesideCache } from "./beside-cache.ts";
import { keySchema } from "./keys.ts";
import type { ImageRecord } from "./types.ts";

const LABELS_FILE = "labels.json";

const labelsSchema = z.strictObject({
  version: z.literal(1),
  labels: z.record(keySchema, labelTextSchema),
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
  const file = await readBesideCache(join(dir, LABELS_FILE), labelsSchema, "labels");
  return new Map(Object.entries(file?.labels ?? {}));
}

/** Replaces the labels of the cache in one step. */
export async function writeLabels(dir: string, labels: Labels): Promise<void> {
  await writeMapBesideCache(join(dir, LABELS_FILE), "labels", labels);
}

/** The images that have a label, in the order of the cache. */
export function labelledImages(records: readonly ImageRecord[], labels: Labels): LabelledImage[] {
  return records.flatMap(({ image, patient }, index) => {
    const label = labels.get(image);
    return label === undefined ? [] : [{ index, patient, label }];
  });
}
