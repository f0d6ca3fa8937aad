/** Boxes around findings, kept beside the cache as `boxes.json`: image key -> boxes. */
import { join } from "node:path";
import { z } from "zod";
import { readBesideCache, writeMapsBesideCache } from "./beside-cache.ts";
import { keySchema } from "./keys.ts";
import { knownOf, storedKnown, type Known } from "./known.ts";
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

export interface BoxSet {
  readonly boxes: Boxes;
  /** Sorted. */
  readonly classes: readonly string[];
  /** What the images were looked at for: without a box a class is not there only where it is known. */
  readonly known: Known;
}

const boxesSchema = z.discriminatedUnion("version", [
  z.strictObject({ version: z.literal(1), boxes: z.record(keySchema, z.array(boxSchema)) }),
  z.strictObject({
    version: z.literal(2),
    boxes: z.record(keySchema, z.array(boxSchema)),
    /** Of images that were not looked at for all of the boxes' classes. */
    known: z.record(keySchema, z.array(labelTextSchema)),
  }),
]);

/**
 * The boxes of the cache in folder `dir`; empty where none were given.
 * @throws cache.corrupt if the file is damaged
 */
export async function readBoxes(dir: string): Promise<BoxSet> {
  const file = await readBesideCache(join(dir, BOXES_FILE), boxesSchema, "boxes");
  const boxes = new Map(Object.entries(file?.boxes ?? {}));
  const classes = classesOf(boxes);
  const lists = new Map(file?.version === 2 ? Object.entries(file.known) : []);
  const known = knownOf(
    [...boxes.keys()].map((image) => [image, lists.get(image)]),
    classes,
  );
  return { boxes, classes, known };
}

/** Replaces the boxes of the cache in one step. @param known by default all classes of the boxes, on each image */
export async function writeBoxes(dir: string, boxes: Boxes, known: Known = new Map()): Promise<void> {
  const classes = new Set(classesOf(boxes));
  const lists = [...boxes.keys()].flatMap((image) => {
    const stored = storedKnown(known.get(image) ?? classes, classes);
    return stored === undefined ? [] : [[image, stored] as const];
  });
  await writeMapsBesideCache(join(dir, BOXES_FILE), 2, { boxes, known: new Map(lists) });
}

const classesOf = (boxes: Boxes): readonly string[] =>
  [...new Set([...boxes.values()].flatMap((all) => all.map(({ label }) => label)))].sort();
