/** One coordinator per home folder: an exclusive transaction on a file of its own, which the kernel ends with the process. */
import { ConsiliumError } from "@consilium/shared/errors";
import Libsql from "libsql";

/** @returns a function that releases it; throws home.in-use */
export function lockHome(file: string): () => void {
  const connection = new Libsql(file);
  try {
    connection.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    connection.close();
    throw new ConsiliumError("home.in-use", { cause });
  }
  return () => {
    connection.exec("ROLLBACK");
    connection.close();
  };
}
