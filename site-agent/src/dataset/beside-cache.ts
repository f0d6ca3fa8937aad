/** Small JSON files that lie beside a cache: replaced in one step, checked as they are read. */
import { readFile } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";
import { jsonOrNull } from "@consilium/shared/json";
import type { z } from "zod";
import { errorCode, writeFileAtomic } from "./files.ts";

/**
 * What the file holds, or null if there is none.
 * @param what names the file in the error
 * @throws cache.corrupt
 */
export async function readBesideCache<T>(
  path: string,
  schema: z.ZodType<T>,
  what: string,
): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
  const parsed = schema.safeParse(jsonOrNull(text));
  if (!parsed.success) throw new ConsiliumError("cache.corrupt", { detail: `(${what})` });
  return parsed.data;
}

/** Replaces a file of version 1 with one map. */
export async function writeMapBesideCache(
  path: string,
  name: string,
  entries: ReadonlyMap<string, unknown>,
): Promise<void> {
  await writeMapsBesideCache(path, 1, { [name]: entries });
}

/** Replaces the file. Entries are sorted, so that equal contents are equal bytes. */
export async function writeMapsBesideCache(
  path: string,
  version: number,
  maps: Readonly<Record<string, ReadonlyMap<string, unknown>>>,
): Promise<void> {
  const sorted = (entries: ReadonlyMap<string, unknown>): object =>
    Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  const body = Object.fromEntries(Object.entries(maps).map(([name, entries]) => [name, sorted(entries)]));
  await writeFileAtomic(path, `${JSON.stringify({ version, ...body })}\n`);
}
