/** One libsql connection: typed parameters, rows parsed by zod, errors from our table. */
import { ConsiliumError } from "@consilium/shared/errors";
import Libsql from "libsql";
import { z } from "zod";
import { MIGRATIONS } from "./migrations.ts";

export type SqlValue = string | number | null;

/** A column that holds JSON of this shape. */
export function jsonColumn<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(schema);
}

export class SqlDatabase {
  readonly #connection: Libsql.Database;

  /**
   * WAL with synchronous=FULL: a commit that returned survives the loss of power. What is deleted is overwritten: shares
   * of masks have no business on a disk.
   */
  constructor(file: string) {
    this.#connection = guarded(() => new Libsql(file));
    for (const pragma of [
      "journal_mode = WAL",
      "synchronous = FULL",
      "foreign_keys = ON",
      "secure_delete = ON",
    ]) {
      this.#exec(`PRAGMA ${pragma}`);
    }
    this.#migrate();
  }

  run(sql: string, parameters: readonly SqlValue[] = []): number {
    return guarded(() => this.#connection.prepare(sql).run([...parameters]).changes);
  }

  all<T>(row: z.ZodType<T>, sql: string, parameters: readonly SqlValue[] = []): T[] {
    return guarded(() => this.#connection.prepare(sql).all([...parameters])).map((value) => row.parse(value));
  }

  first<T>(row: z.ZodType<T>, sql: string, parameters: readonly SqlValue[] = []): T | null {
    return this.all(row, sql, parameters)[0] ?? null;
  }

  /** All of `write` or nothing of it. */
  transaction<T>(write: () => T): T {
    this.#exec("BEGIN IMMEDIATE");
    try {
      const result = write();
      this.#exec("COMMIT");
      return result;
    } catch (error) {
      // A full disk may have ended the transaction already.
      if (this.#connection.inTransaction) this.#exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#connection.close();
  }

  #exec(sql: string): void {
    guarded(() => this.#connection.exec(sql));
  }

  #migrate(): void {
    this.#exec("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY) STRICT");
    const applied = guarded(() =>
      this.#connection.prepare("SELECT version FROM schema_migrations").all([]),
    ).length;
    if (applied > MIGRATIONS.length) {
      throw new ConsiliumError("config.invalid", {
        detail: "(the home folder was written by a newer version)",
        culprits: ["home"],
      });
    }
    for (const [version, step] of [...MIGRATIONS.entries()].slice(applied)) {
      this.transaction(() => {
        this.#exec(step);
        this.run("INSERT INTO schema_migrations (version) VALUES (?)", [version + 1]);
      });
    }
  }
}

function guarded<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "SQLITE_FULL") throw new ConsiliumError("disk.full", { cause: error });
    throw error;
  }
}
