/**
 * audit.jsonl: the readable copy of the audit log. The store holds the lines in the same transaction as what they tell
 * of; this file follows it, so that a crash between the two is healed at the next start.
 */
import { open, readFile, truncate } from "node:fs/promises";
import type { Logger } from "pino";
import { logLines, parseLine, type AuditLine } from "@consilium/shared/audit/chain";

export interface AuditSource {
  /** Lines after `seq`, ascending. */
  auditAfter(seq: number): Promise<readonly AuditLine[]>;
}

export class AuditFile {
  readonly #file: string;
  readonly #source: AuditSource;
  #written: number;
  #queue: Promise<void> = Promise.resolve();
  /** An append that has not begun, and will find whatever is in the store by then. */
  #next: Promise<void> | null = null;

  private constructor(file: string, source: AuditSource, written: number) {
    this.#file = file;
    this.#source = source;
    this.#written = written;
  }

  /**
   * Cuts off a line that a crash left unfinished and writes what is missing. A file that someone has changed is left as
   * it is, for `audit verify` to show where.
   */
  static async open(file: string, source: AuditSource, logger: Logger): Promise<AuditFile> {
    const text = await readText(file);
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) await truncate(file, Buffer.byteLength(whole));
    const last = parseLine(whole.trimEnd().split("\n").at(-1) ?? "");
    const seq = last?.seq ?? 0;
    const [original] = await source.auditAfter(seq - 1);
    const unchanged = last === null ? whole === "" : original?.hash === last.hash;
    if (!unchanged)
      logger.error("audit.jsonl was changed by someone else; run consilium-coordinator audit verify");
    const audit = new AuditFile(file, source, original === undefined ? 0 : seq);
    await audit.follow();
    return audit;
  }

  /** Appends what the store has and the file has not; on disk when the promise resolves. */
  follow(): Promise<void> {
    this.#next ??= this.#queue
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return this.#append();
      });
    this.#queue = this.#next;
    return this.#queue;
  }

  async #append(): Promise<void> {
    const lines = await this.#source.auditAfter(this.#written);
    const last = lines.at(-1);
    if (last === undefined) return;
    const handle = await open(this.#file, "a", 0o600);
    try {
      const { size } = await handle.stat();
      try {
        await handle.appendFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
        await handle.sync();
      } catch (error) {
        // A full disk takes part of a line; what is written next must not go on from there.
        await handle.truncate(size);
        throw error;
      }
    } finally {
      await handle.close();
    }
    this.#written = last.seq;
  }
}

/** The file's lines; none if there is no file. */
export async function readAuditLines(file: string): Promise<readonly string[]> {
  return logLines(await readText(file));
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
