/**
 * What became of each file, one JSON object per line: {"key", "outcome": "used"} or
 * {"key", "outcome": "quarantined", "code"}. Keys are HMACs; no name or path is in it. Where a key has several lines the
 * last one counts. `manifest.jsonl` beside the cache is of the last folder that was ingested; `received-KEY.jsonl` is of
 * everything that came over the network from one source.
 */
import { open, readFile, rename, truncate, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ERRORS, type ErrorCode } from "@consilium/shared/errors";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { errorCode, syncFolder } from "../dataset/files.ts";
import type { Verdict } from "./tally.ts";

const MANIFEST_FILE = "manifest.jsonl";
const FLUSH_BYTES = 64 * 1024;

const lineSchema = z.union([
  z.strictObject({ key: z.string(), outcome: z.literal("used") }),
  z.strictObject({
    key: z.string(),
    outcome: z.literal("quarantined"),
    code: z.custom<ErrorCode>((code) => typeof code === "string" && code in ERRORS),
  }),
]);

export class ManifestWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Until the first save a new manifest lies beside the old one. */
  #isBeside: boolean;
  #pending = "";

  private constructor(path: string, file: FileHandle, isBeside: boolean) {
    this.#path = path;
    this.#file = file;
    this.#isBeside = isBeside;
  }

  /** Begins a folder's manifest, which replaces the earlier one when it is saved. */
  static async begin(cacheDir: string): Promise<ManifestWriter> {
    const path = join(cacheDir, MANIFEST_FILE);
    return new ManifestWriter(path, await open(`${path}.tmp`, "w", 0o600), true);
  }

  /**
   * Goes on with the manifest of a source that never ends.
   * @param onEarlier is told each line that is there already
   */
  static async goOn(
    cacheDir: string,
    sourceKey: string,
    onEarlier: (key: string, verdict: Verdict) => void,
  ): Promise<ManifestWriter> {
    const path = join(cacheDir, `received-${sourceKey}.jsonl`);
    await dropTornLine(path);
    for (const { key, verdict } of parseLines(await readIfThere(path))) onEarlier(key, verdict);
    return new ManifestWriter(path, await open(path, "a", 0o600), false);
  }

  async note(key: string, verdict: Verdict): Promise<void> {
    const entry =
      verdict === null ? { key, outcome: "used" } : { key, outcome: "quarantined", code: verdict };
    this.#pending += `${JSON.stringify(entry)}\n`;
    if (this.#pending.length >= FLUSH_BYTES) await this.#flush();
  }

  /** What was noted is on disk when this resolves. */
  async save(): Promise<void> {
    await this.#flush();
    await this.#file.sync();
    if (!this.#isBeside) return;
    await rename(`${this.#path}.tmp`, this.#path);
    await syncFolder(dirname(this.#path));
    this.#isBeside = false;
  }

  /** What was not saved is lost; a manifest that was never saved leaves the earlier one as it was. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    await this.#file.appendFile(this.#pending);
    this.#pending = "";
  }
}

/** A crash may leave half a line at the end, to which the next one must not be added. */
async function dropTornLine(path: string): Promise<void> {
  const text = await readIfThere(path);
  if (text === "" || text.endsWith("\n")) return;
  await truncate(path, Buffer.byteLength(text.slice(0, text.lastIndexOf("\n") + 1)));
}

function parseLines(text: string): { readonly key: string; readonly verdict: Verdict }[] {
  return text.split("\n").flatMap((line) => {
    const parsed = lineSchema.safeParse(jsonOrNull(line));
    // A damaged line costs a count, and the file is counted again when it is met again.
    if (!parsed.success) return [];
    const { data } = parsed;
    return [{ key: data.key, verdict: data.outcome === "used" ? null : data.code }];
  });
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}
