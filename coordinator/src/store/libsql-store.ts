/**
 * The store on libsql: one file, one connection. Transactions that come at the same time become durable together, for the
 * disk takes as long for one of them as for all; each is still made whole or not at all, by a savepoint of its own. The
 * program goes on while the disk writes: a commit leaves its pages in the write-ahead log, and nobody is told of it before
 * the log has been flushed (write-ahead-log.ts).
 */
import { ConsiliumError } from "@consilium/shared/errors";
import Libsql from "libsql";
import type { z } from "zod";
import type { SqlDatabase, SqlTransaction, SqlValue } from "./database.ts";
import { MIGRATIONS } from "./migrations.ts";
import { openSqlStore } from "./sql-store.ts";
import type { Store } from "./store.ts";
import { WriteAheadLog } from "./write-ahead-log.ts";

/** @param file the database; made when absent */
export function openLibsqlStore(file: string): Store {
  return openSqlStore(new LibsqlDatabase(file));
}

interface Waiting {
  /** Whether it has to survive the loss of power before anybody is told of it. */
  readonly lasts: boolean;
  /** @returns what tells the caller, once it is durable */
  readonly run: () => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

class LibsqlDatabase implements SqlDatabase {
  readonly #connection: Libsql.Database;
  readonly #log: WriteAheadLog;
  readonly #statements: SqlTransaction;
  #waiting: Waiting[] = [];
  #isScheduled = false;
  /** Resolves when the batch that is being written has ended; nobody reads what is half-written. */
  #writing: Promise<void> | null = null;

  /**
   * WAL with synchronous=NORMAL, which keeps the database whole but leaves the flush of each commit to us. What is deleted
   * is overwritten: shares of masks have no business on a disk.
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
    this.#exec("PRAGMA synchronous = NORMAL");
    this.#log = new WriteAheadLog(`${file}-wal`);
    this.#statements = statementsOn(this.#connection);
  }

  async all<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T[]> {
    while (this.#writing !== null) await this.#writing;
    const rows = await this.#statements.all(row, sql, parameters);
    // What a loss of power would undo has not happened.
    await this.#log.settled();
    return rows;
  }

  async first<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T | null> {
    return (await this.all(row, sql, parameters))[0] ?? null;
  }

  transaction<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T> {
    return this.#write(write, true);
  }

  /** A chunk of an upload is noted every few milliseconds, and waits for no flush of its own. */
  note<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T> {
    return this.#write(write, false);
  }

  #write<T>(write: (db: SqlTransaction) => Promise<T>, lasts: boolean): Promise<T> {
    const result = new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        lasts,
        run: async () => {
          this.#exec("SAVEPOINT one");
          try {
            const value = await write(this.#statements);
            this.#exec("RELEASE one");
            return () => {
              resolve(value);
            };
          } catch (error) {
            this.#exec("ROLLBACK TO one");
            this.#exec("RELEASE one");
            return () => {
              reject(error instanceof Error ? error : new Error("a write failed", { cause: error }));
            };
          }
        },
        reject,
      });
    });
    this.#schedule();
    return result;
  }

  async close(): Promise<void> {
    while (this.#isScheduled) await new Promise((resolve) => setImmediate(resolve));
    await this.#log.close();
    this.#connection.close();
  }

  /** Whatever else arrives until then, or while the disk writes, goes together. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      void this.#writeBatch(this.#waiting.splice(0)).finally(() => {
        this.#isScheduled = false;
        if (this.#waiting.length > 0) this.#schedule();
      });
    });
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const committing = this.#commit(batch);
    const ended = (): void => {
      this.#writing = null;
    };
    this.#writing = committing.then(ended, ended);
    try {
      const { settle, flushed } = await committing;
      await flushed;
      for (const each of settle) each();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  async #commit(batch: readonly Waiting[]) {
    const settle: (() => void)[] = [];
    try {
      this.#log.assertWhole();
      this.#exec("BEGIN IMMEDIATE");
      for (const { run } of batch) settle.push(await run());
      this.#exec("COMMIT");
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    // Begun before anybody can read what was committed.
    return { settle, flushed: batch.some(({ lasts }) => lasts) ? this.#log.flush() : null };
  }

  /** A full disk may have ended the transaction by itself. */
  #rollBack(): void {
    if (this.#connection.inTransaction) this.#exec("ROLLBACK");
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
      const record = `INSERT INTO schema_migrations (version) VALUES (${version + 1})`;
      try {
        this.#exec(`BEGIN IMMEDIATE; ${step}; ${record}; COMMIT`);
      } catch (error) {
        this.#exec("ROLLBACK");
        throw error;
      }
    }
  }
}

/** libsql answers at once; a federation has one coordinator, the one that holds the home folder's lock. */
function statementsOn(connection: Libsql.Database): SqlTransaction {
  const settled = <T>(action: () => T): Promise<T> =>
    new Promise((resolve) => {
      resolve(guarded(action));
    });
  // The program's own few; the parameters are never part of their text.
  const prepared = new Map<string, Libsql.Statement>();
  const prepare = (sql: string): Libsql.Statement => {
    const statement = prepared.get(sql) ?? connection.prepare(sql);
    prepared.set(sql, statement);
    return statement;
  };
  const all = <T>(row: z.ZodType<T>, sql: string, parameters: readonly SqlValue[] = []): Promise<T[]> =>
    settled(() =>
      prepare(sql)
        .all([...parameters])
        .map((value) => row.parse(value)),
    );
  return {
    all,
    first: async (row, sql, parameters) => (await all(row, sql, parameters))[0] ?? null,
    run: (sql, parameters = []) => settled(() => prepare(sql).run([...parameters]).changes),
    guard: () => Promise.resolve(),
    alone: () => Promise.resolve(),
  };
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
