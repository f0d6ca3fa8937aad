/** What was fetched from a PACS already, in `pulled-KEY.jsonl` beside the cache that it went into: one HMAC a line. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { errorCode } from "../../dataset/files.ts";
import { appendDurably, ensureFolder } from "../../home/files.ts";

const LINE = /^\{"pulled":"([0-9a-f]{32})"\}$/;

export class DoneList {
  readonly #file: string;
  readonly #done: Set<string>;

  private constructor(file: string, done: Set<string>) {
    this.#file = file;
    this.#done = done;
  }

  /** Half a line that a crash left does not count. */
  static async open(cacheDir: string, sourceKey: string): Promise<DoneList> {
    await ensureFolder(cacheDir);
    const file = path.join(cacheDir, `pulled-${sourceKey}.jsonl`);
    const keys = (await readIfThere(file)).split("\n").flatMap((line) => LINE.exec(line)?.[1] ?? []);
    return new DoneList(file, new Set(keys));
  }

  has(key: string): boolean {
    return this.#done.has(key);
  }

  /** On disk when this resolves. Begins a line of its own, whatever a crash left before. */
  async add(key: string): Promise<void> {
    await appendDurably(this.#file, `\n{"pulled":"${key}"}\n`);
    this.#done.add(key);
  }
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}
