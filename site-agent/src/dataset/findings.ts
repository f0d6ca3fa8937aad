/** Which of several findings an image shows, kept beside the cache as `findings.json`: image key -> names. */
import { join } from "node:path";
import { z } from "zod";
import { readBesideCache, writeMapBesideCache } from "./beside-cache.ts";
import { keySchema } from "./keys.ts";
import { labelTextSchema } from "@consilium/shared/label-text";

const FINDINGS_FILE = "findings.json";
/** Before the name of a finding of which nobody said whether it is there; no name begins like this. */
const UNKNOWN = "?";

export interface ImageFindings {
  /** Sorted; empty: looked at, and nothing found. */
  readonly present: readonly string[];
  /** Sorted; those of which nobody said whether they are there. All others are absent. */
  readonly unknown: readonly string[];
}

/** By image key. */
export type Findings = ReadonlyMap<string, ImageFindings>;

const storedNameSchema = z
  .string()
  .refine(
    (text) => labelTextSchema.safeParse(text.startsWith(UNKNOWN) ? text.slice(UNKNOWN.length) : text).success,
  );
const findingsSchema = z.strictObject({
  version: z.literal(1),
  findings: z.record(keySchema, z.array(storedNameSchema)),
});

/**
 * The findings of the cache in folder `dir`; empty where none were given.
 * @throws cache.corrupt if the file is damaged
 */
export async function readFindings(dir: string): Promise<Findings> {
  const file = await readBesideCache(join(dir, FINDINGS_FILE), findingsSchema, "findings");
  return new Map(
    Object.entries(file?.findings ?? {}).map(([image, names]) => [
      image,
      {
        present: names.filter((name) => !name.startsWith(UNKNOWN)),
        unknown: names.filter((name) => name.startsWith(UNKNOWN)).map((name) => name.slice(UNKNOWN.length)),
      },
    ]),
  );
}

/** Replaces the findings of the cache in one step. */
export async function writeFindings(dir: string, findings: Findings): Promise<void> {
  const entries = [...findings].map(
    ([image, { present, unknown }]) =>
      [image, [...present, ...unknown.map((name) => UNKNOWN + name)]] as const,
  );
  await writeMapBesideCache(join(dir, FINDINGS_FILE), "findings", new Map(entries));
}

/**
 * What was known and what a table adds. A table with columns speaks of those findings alone: what else is known of an image stays, and
 * findings that only the other of the two speaks of are not known. A table that lists findings speaks of all.
 * @param among the table's columns, or null if it lists
 */
export function joinFindings(before: Findings, rows: Findings, among: readonly string[] | null): Findings {
  if (among === null) return new Map([...before, ...rows]);
  const spoken = namesIn(before);
  const others = [...spoken].filter((name) => !among.includes(name)).sort();
  const added = among.filter((name) => !spoken.has(name));
  const joined = new Map<string, ImageFindings>();
  for (const [image, { present, unknown }] of before) {
    joined.set(image, { present, unknown: [...unknown, ...added].sort() });
  }
  for (const [image, row] of rows) {
    const old = before.get(image) ?? { present: [], unknown: others };
    const merged = (kept: readonly string[], own: readonly string[]) =>
      [...kept.filter((name) => !among.includes(name)), ...own].sort();
    joined.set(image, {
      present: merged(old.present, row.present),
      unknown: merged(old.unknown, row.unknown),
    });
  }
  return joined;
}

/** Names that labels speak of: of others they say nothing. */
export function namesIn(findings: Findings): ReadonlySet<string> {
  return new Set([...findings.values()].flatMap(({ present, unknown }) => [...present, ...unknown]));
}
