/**
 * What the store asks of a database: statements of the SQL that libsql and PostgreSQL share, with `?` for parameters; rows
 * parsed by zod; errors from our table.
 */
import type { FederationId } from "@consilium/shared/ids";
import { z } from "zod";

export type SqlValue = string | number | null;

export interface SqlReader {
  all<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T[]>;
  first<T>(row: z.ZodType<T>, sql: string, parameters?: readonly SqlValue[]): Promise<T | null>;
}

export interface SqlTransaction extends SqlReader {
  /** @returns how many rows it changed */
  run(sql: string, parameters?: readonly SqlValue[]): Promise<number>;
  /**
   * Comes before anything is written about a federation that a coordinator has to hold.
   * @throws lease.lost if another one has taken it over
   */
  guard(federation: FederationId): Promise<void>;
  /** Until the transaction ends, no other one is past this line. */
  alone(): Promise<void>;
}

export interface SqlDatabase extends SqlReader {
  /** All of `write` or nothing of it; durable when the promise resolves. */
  transaction<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T>;
  /**
   * As a transaction, for rows that only save work: they outlive this process, and perhaps not the loss of power. Those of
   * a later transaction never outlive them.
   */
  note<T>(write: (db: SqlTransaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** A column that holds JSON of this shape. */
export function jsonColumn<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(schema);
}
