/** Boxes around findings, kept beside the cache as `boxes.json`: image key -> boxes. */
import { join } from "node:path";
import { z } from "zod";
import { imageKeySchema, readBesideCache, writeMapBesideCache } from "./beside-cache.ts";
import { labelTextSchema } from "@consilium/shared/label-text";

const BOXES_FILE = "boxes.json";

/** Pixels of the original image, top-left origin; may reach beyond its border. */
export const boxSchema = z.strictObject({
  label: labelTextSchema,
  x: z.number(),
  y: z.number(),
  width: z.number().positive(),
  height: z.number().positive(),
});
export type Box = Readonly<z.infer<typeof boxSchema>>;

/** Image key -> boxes; an empty list: looked at, and nothing found. */
export type Boxes = ReadonlyMap<string, readonly Box[]>;

const boxesSchema = z.strictObject({
  version: z.literal(1),
  boxes: z.record(imageKeySchema, z.array(boxSchema)),
});

/**
 * The boxes of the cache in folder `dir`; empty where none were given.
 * @throws cache.corrupt if the file is damaged
 */
export async function readBoxes(dir: string): Promise<Boxes> {
  const file = await readBesideCache(join(dir, BOXES_FILE), boxesSchema, "boxes");
  return new Map(Object.entries(file?.boxes ?? {}));
}

/** Replaces the boxes of the cache in one step. */
export async function writeBoxes(dir: string, boxes: Boxes): Promise<void> {
  await writeMapBesideCache(join(dir, BOXES_FILE), "boxes", boxes);
}
