/** One working command per home folder: two agents would overwrite each other's sealed updates. */
import path from "node:path";
import { pid } from "node:process";
import { ConsiliumError } from "@consilium/shared/errors";
import { ensureFolder, readTextIfPresent, writeFileAtomic } from "./files.ts";

export type HoldingCommand = "run" | "ingest" | "listen" | "pull";

/**
 * Runs `work` while this process holds the home.
 * @param command what it is, for whoever finds the home held
 * @throws home.busy, and as tryLock
 */
export async function whileLocked<T>(
  folder: string,
  command: HoldingCommand,
  work: () => Promise<T>,
): Promise<T> {
  const { tryLock } = await import("@consilium/shared/file-lock");
  await ensureFolder(folder);
  const release = tryLock(path.join(folder, "lock.db"));
  // The lock itself holds nothing to read; what lies beside it is of its holder, or of one before.
  const note = path.join(folder, "holder.txt");
  if (release === null) throw busy(await readTextIfPresent(note));
  try {
    await writeFileAtomic(note, `${command} ${pid}\n`);
    return await work();
  } finally {
    release();
  }
}

function busy(note: string | null): ConsiliumError {
  const [, command, process] = /^(run|ingest|listen|pull) (\d+)\n$/.exec(note ?? "") ?? [];
  if (command === undefined || process === undefined) return new ConsiliumError("home.busy");
  return new ConsiliumError("home.busy", { detail: `(consilium-site ${command}, process ${process})` });
}
