/** Small files that are either the old one or the new one, whenever the power fails. */
import { chmod, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

const PRIVATE_FILE = 0o600;

/** Writes beside, syncs, renames, syncs the folder. Files are the owner's alone; of one that cannot be written nothing is left. */
export function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  return writePartsAtomic(path, [data]);
}

/** Each part is written while the next is made. */
export async function writePartsAtomic(path: string, parts: Iterable<Uint8Array | string>): Promise<void> {
  const beside = `${path}.tmp`;
  const file = await open(beside, "w", PRIVATE_FILE);
  let writing: Promise<void> = Promise.resolve();
  try {
    for (const part of parts) {
      await writing;
      writing = file.writeFile(part);
    }
    await writing;
    await file.sync();
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  } finally {
    await writing.catch(() => undefined);
    await file.close();
  }
  // One that a crash left may be another's.
  await chmod(beside, PRIVATE_FILE);
  await rename(beside, path);
  await syncFolder(dirname(path));
}

/** Makes renames in the folder last. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    // Windows and some network file systems cannot sync a folder; there the rename itself has to do.
    if (!["EPERM", "EINVAL", "EISDIR"].includes(errorCode(error) ?? "")) throw error;
  } finally {
    await folder.close();
  }
}

/** Node's error code of a failed file operation, or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
