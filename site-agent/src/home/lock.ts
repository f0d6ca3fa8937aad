/** One working command per home folder: two agents would overwrite each other's sealed updates. */
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { ensureFolder } from "./files.ts";

/**
 * Runs `work` while this process holds the home.
 * @throws home.busy, and as tryLock
 */
export async function whileLocked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const { tryLock } = await import("@consilium/shared/file-lock");
  await ensureFolder(folder);
  const release = tryLock(path.join(folder, "lock.db"));
  if (release === null) throw new ConsiliumError("home.busy");
  try {
    return await work();
  } finally {
    release();
  }
}
