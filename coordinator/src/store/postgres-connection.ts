/** How this project talks to PostgreSQL: settings of every connection, and its errors as ours. */
import { ConsiliumError } from "@consilium/shared/errors";
import pg from "pg";

/** What a connection says of itself; the lease of a coordinator that hangs is taken by ending its connections. */
export const applicationName = (replica: string): string => `consilium ${replica}`;

/**
 * A commit that returned survives the loss of power; a transaction whose coordinator hangs, and a connection whose machine
 * is gone, hold nothing up for long.
 */
export function connectionSettings(url: string, replica: string): pg.ClientConfig {
  const settings = {
    synchronous_commit: "on",
    idle_in_transaction_session_timeout: "10s",
    lock_timeout: "20s",
    tcp_keepalives_idle: "4",
    tcp_keepalives_interval: "2",
    tcp_keepalives_count: "2",
  };
  const types = new pg.TypeOverrides();
  // Counts and times; all of them are far below 2^53.
  types.setTypeParser(pg.types.builtins.INT8, Number);
  return {
    connectionString: url,
    application_name: applicationName(replica),
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    types,
  };
}

/** Classes of SQLSTATE that are the server's state and not the statement's: no connection, no resources, shut down. */
const OUTAGE = /^(08|53|57|58)/;
const DISK_FULL = "53100";

/** @returns an error of our table, or the error as it is when it is a bug or a broken rule of the schema */
export function typedDatabaseError(error: unknown): unknown {
  if (error instanceof ConsiliumError) return error;
  if (error instanceof pg.DatabaseError) {
    if (error.code === DISK_FULL) return new ConsiliumError("disk.full", { cause: error });
    return OUTAGE.test(error.code ?? "") ? new ConsiliumError("store.unreachable", { cause: error }) : error;
  }
  // Whatever else the driver throws is about the connection: refused, reset, ended, timed out.
  const isOfDriver = error instanceof Error && !("issues" in error) && !(error instanceof TypeError);
  return isOfDriver ? new ConsiliumError("store.unreachable", { cause: error }) : error;
}
