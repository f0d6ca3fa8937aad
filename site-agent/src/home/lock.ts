/** One working command per home folder: two agents would overwrite each other's sealed updates. */
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { createNew, readTextIfPresent, removeFile } from "./files.ts";

export interface LockPorts {
  readonly processId: number;
  readonly isProcessAlive: (processId: number) => boolean;
}

/**
 * Runs `work` while this process holds the home. A lock whose process has died is taken over.
 * @throws home.busy
 */
export async function whileLocked<T>(folder: string, ports: LockPorts, work: () => Promise<T>): Promise<T> {
  const file = path.join(folder, "lock");
  const text = `${ports.processId}\n`;
  if (!(await createNew(file, text))) {
    const holder = Number(await readTextIfPresent(file));
    // In a container every start may get the same number: a lock with our own is what an earlier run left.
    if (
      holder !== ports.processId &&
      Number.isInteger(holder) &&
      holder > 0 &&
      ports.isProcessAlive(holder)
    ) {
      throw new ConsiliumError("home.busy");
    }
    await removeFile(file);
    if (!(await createNew(file, text))) throw new ConsiliumError("home.busy");
  }
  try {
    return await work();
  } finally {
    await removeFile(file);
  }
}
