/** Which of several findings an image shows, kept beside the cache as `findings.json`: image key -> names. */
import { join } from "node:path";
import { z } from "zod";
import { imageKeySchema, readBesideCache, writeMapBesideCache } from "./beside-cache.ts";
import { labelTextSchema } from "@consilium/shared/label-text";

const FINDINGS_FILE = "findings.json";

/** Image key -> findings, sorted; an empty list: looked at, and nothing found. */
export type Findings = ReadonlyMap<string, readonly string[]>;

const findingsSchema = z.strictObject({
  version: z.literal(1),
  findings: z.record(imageKeySchema, z.array(labelTextSchema)),
});

/**
 * The findings of the cache in folder `dir`; empty where none were given.
 * @throws cache.corrupt if the file is damaged
 */
export async function readFindings(dir: string): Promise<Findings> {
  const file = await readBesideCache(join(dir, FINDINGS_FILE), findingsSchema, "findings");
  return new Map(Object.entries(file?.findings ?? {}));
}

/** Replaces the findings of the cache in one step. */
export async function writeFindings(dir: string, findings: Findings): Promise<void> {
  await writeMapBesideCache(join(dir, FINDINGS_FILE), "findings", findings);
}
