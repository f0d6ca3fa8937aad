/** Small files that are either the old one or the new one, whenever the power fails. */
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes beside, syncs, renames, syncs the folder. Files are the owner's alone. */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const beside = `${path}.tmp`;
  const file = await open(beside, "w", 0o600);
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
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
