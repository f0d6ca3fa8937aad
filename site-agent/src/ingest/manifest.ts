/**
 * What became of each file of the last ingest, one JSON object per line, in `manifest.jsonl` beside the cache:
 * {"key", "outcome": "used"} or {"key", "outcome": "quarantined", "code"}. Keys are HMACs; no name or path is in it.
 */
import { open, rename, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ErrorCode } from "@consilium/shared/errors";
import { syncFolder } from "../dataset/files.ts";

const MANIFEST_FILE = "manifest.jsonl";
const FLUSH_BYTES = 64 * 1024;

/** Written beside and renamed at the end: a manifest is of a whole ingest. */
export class ManifestWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  #pending = "";

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async open(cacheDir: string): Promise<ManifestWriter> {
    const path = join(cacheDir, MANIFEST_FILE);
    return new ManifestWriter(path, await open(`${path}.tmp`, "w", 0o600));
  }

  async used(key: string): Promise<void> {
    await this.#line({ key, outcome: "used" });
  }

  async quarantined(key: string, code: ErrorCode): Promise<void> {
    await this.#line({ key, outcome: "quarantined", code });
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#file.sync();
    await this.#file.close();
    await rename(`${this.#path}.tmp`, this.#path);
    await syncFolder(dirname(this.#path));
  }

  /** Leaves the earlier manifest as it was. */
  async abandon(): Promise<void> {
    await this.#file.close();
  }

  async #line(entry: Readonly<Record<string, string>>): Promise<void> {
    this.#pending += `${JSON.stringify(entry)}\n`;
    if (this.#pending.length >= FLUSH_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#file.appendFile(this.#pending);
    this.#pending = "";
  }
}
