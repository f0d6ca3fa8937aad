/**
 * The store on PostgreSQL. Every writing transaction about a federation begins with its lease, so that a coordinator which
 * another one has replaced writes nothing, however late its statement arrives.
 */
import type { FederationId } from "@consilium/shared/ids";
import { ConsiliumError } from "@consilium/shared/errors";
import type pg from "pg";
import type { z } from "zod";
import type { SqlDatabase, SqlReader, SqlTransaction, SqlValue } from "./database.ts";
import { MIGRATIONS } from "./migrations.ts";
import { typedDatabaseError } from "./postgres-connection.ts";
import { inPostgres, toPostgres } from "./postgres-schema.ts";
import { openSqlStore } from "./sql-store.ts";
import type { Store } from "./store.ts";

export interface Fence {
  /** Under which this coordinator holds the federation; null if it does not. */
  epochOf(federation: FederationId): number | null;
  /** A commit's answer was lost: nobody knows what the database holds. */
  doubt(): void;
}

/** @param fence null where nothing else can write, as in tests */
export function openPostgresStore(pool: pg.Pool, fence: Fence | null): Store {
  return openSqlStore(new PostgresDatabase(pool, fence));
}

/** Applies what is missing; the caller sees to it that one coordinator does so at a time. @throws config.invalid */
export async function migratePostgres(client: Pick<pg.ClientBase, "query">): Promise<void> {
  await client.query("CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY)");
  const { rowCount } = await client.query("SELECT version FROM schema_migrations");
  const applied = rowCount ?? 0;
  if (applied > MIGRATIONS.length) {
    const detail = "(the database was written by a newer version)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["database"] });
  }
  for (const [version, step] of [...MIGRATIONS.entries()].slice(applied)) {
    // Several statements in one query are one transaction.
    await client.query(
      `${toPostgres(step)}; INSERT INTO schema_migrations (version) VALUES (${version + 1})`,
    );
  }
}

class PostgresDatabase implements SqlDatabase {
  readonly #pool: pg.Pool;
  readonly #fence: Fence | null;
  readonly #reads: SqlReader;

  constructor(pool: pg.Pool, fence: Fence | null) {
    this.#pool = pool;
    this.#fence = fence;
    this.#reads = readerOn(pool);
  }

  all<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T[]> {
    return this.#reads.all(row, sql, parameters);
  }

  first<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T | null> {
    return this.#reads.first(row, sql, parameters);
  }

  async transaction<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T> {
    const client = await typed(() => this.#pool.connect());
    let broken: Error | undefined;
    try {
      await client.query("BEGIN");
      const result = await write(transactionOn(client, this.#fence));
      await client.query("COMMIT").catch((error: unknown) => {
        this.#fence?.doubt();
        throw error;
      });
      return result;
    } catch (error) {
      broken = await client.query("ROLLBACK").then(
        () => undefined,
        (cause: unknown) => (cause instanceof Error ? cause : new Error("no rollback")),
      );
      throw typedDatabaseError(error);
    } finally {
      client.release(broken);
    }
  }

  /** Nobody here waits while the server's disk does. */
  note<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T> {
    return this.transaction(write);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** A connection or the pool. */
interface Queryable {
  query(sql: string, values: unknown[]): Promise<pg.QueryResult>;
}

function readerOn(connection: Queryable): SqlReader {
  const all = async <T>(
    row: z.ZodType<T>,
    sql: string,
    parameters: readonly SqlValue[] = [],
  ): Promise<T[]> => {
    const { rows } = await typed(() => connection.query(inPostgres(sql), [...parameters]));
    return rows.map((value) => row.parse(value));
  };
  return {
    all,
    first: async (row, sql, parameters) => (await all(row, sql, parameters))[0] ?? null,
  };
}

/** Held until the transaction ends: whoever takes the lease over waits for it, or has been faster. */
const GUARD = "SELECT 1 FROM leases WHERE federation = $1 AND epoch = $2 FOR SHARE";

function transactionOn(client: pg.PoolClient, fence: Fence | null): SqlTransaction {
  return {
    ...readerOn(client),
    async run(sql, parameters = []) {
      return (await client.query(inPostgres(sql), [...parameters])).rowCount ?? 0;
    },
    async guard(federation) {
      if (fence === null) return;
      const epoch = fence.epochOf(federation);
      const { rowCount } = epoch === null ? { rowCount: 0 } : await client.query(GUARD, [federation, epoch]);
      if (rowCount !== 1) throw new ConsiliumError("lease.lost", { culprits: [federation] });
    },
    async alone() {
      await client.query("LOCK TABLE audit IN EXCLUSIVE MODE");
    },
  };
}

async function typed<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw typedDatabaseError(error);
  }
}
