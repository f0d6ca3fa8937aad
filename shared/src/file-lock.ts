/**
 * A lock that the kernel holds and lets go with its process, however that ends: a transaction on a SQLite file of its own. It
 * excludes whoever opens the same file on the same machine, in other containers too. On a network's file system it is as
 * good as that file system's locks.
 */
import Libsql from "libsql";
import { ConsiliumError } from "./errors.ts";

/**
 * @param file made when absent and left where it is; nothing else may open it
 * @returns a function that lets go, or null if it is held already
 * @throws disk.denied if there can be no such file, or the file system keeps no locks; disk.full
 */
export function tryLock(file: string): (() => void) | null {
  const connection = open(file);
  try {
    // Without a journal nothing is written, and nothing is left to be played back.
    connection.exec("PRAGMA journal_mode = MEMORY");
    connection.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    connection.close();
    if (hasCode(error, "SQLITE_BUSY")) return null;
    if (hasCode(error, "SQLITE_FULL")) throw new ConsiliumError("disk.full", { cause: error });
    throw unlockable(error);
  }
  return () => {
    connection.exec("ROLLBACK");
    connection.close();
  };
}

function open(file: string): Libsql.Database {
  try {
    return new Libsql(file);
  } catch (error) {
    throw unlockable(error);
  }
}

const unlockable = (cause: unknown): ConsiliumError =>
  new ConsiliumError("disk.denied", { detail: "(a lock; the file system must keep them)", cause });

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;
