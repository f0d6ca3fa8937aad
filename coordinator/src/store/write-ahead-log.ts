/**
 * The flushes of SQLite's write-ahead log, in Node.js' pool instead of inside COMMIT, where the whole program would wait for
 * the disk. SQLite itself does no more than this under synchronous=FULL: write the pages, then fdatasync the log
 * (sqlite.org/pragma.html#pragma_synchronous).
 */
import { open, type FileHandle } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";

export class WriteAheadLog {
  readonly #file: string;
  /** Held until the database is closed: it does not change its name or place meanwhile. */
  #handle: Promise<FileHandle> | null = null;
  /** That is under way. */
  #flushing: Promise<void> | null = null;
  #failure: unknown = null;

  constructor(file: string) {
    this.#file = file;
  }

  /** What has been committed is durable when the promise resolves. One at a time. @throws what the disk says */
  async flush(): Promise<void> {
    this.#flushing = this.#datasync();
    try {
      await this.#flushing;
    } finally {
      this.#flushing = null;
    }
  }

  /** Resolves when what has been committed is durable, if its flush has begun. @throws what the disk says */
  async settled(): Promise<void> {
    await this.#flushing;
    this.assertWhole();
  }

  /**
   * After a flush that failed nobody can say what is on the disk, and a second one that succeeds proves nothing: what is
   * there is found out by the next start.
   * @throws internal
   */
  assertWhole(): void {
    if (this.#failure === null) return;
    throw new ConsiliumError("internal", { detail: "(the disk failed: restart)", cause: this.#failure });
  }

  async close(): Promise<void> {
    await this.#flushing?.catch(() => undefined);
    await (await this.#handle?.catch(() => null))?.close();
  }

  async #datasync(): Promise<void> {
    this.assertWhole();
    try {
      this.#handle ??= open(this.#file, "r+");
      await (await this.#handle).datasync();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
