/** Where the demo writes: the output folder, its logs, and the working folder that is removed at the end. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toConsiliumError } from "@consilium/shared/errors";

export interface Folders {
  readonly out: string;
  readonly logs: string;
  /** Homes of the coordinator and the sites, and the phantoms. */
  readonly work: string;
}

/** Its name is ours alone, so that removing it never takes anyone else's files. */
const WORK = "consilium-demo-work";

/** Makes the folders and empties the working folder of an earlier run. */
export async function prepareFolders(out: string): Promise<Folders> {
  const folders = { out, logs: join(out, "logs"), work: join(out, WORK) };
  await removeWork(folders);
  await mkdir(folders.work, { recursive: true });
  await mkdir(folders.logs, { recursive: true });
  for (const name of await readdir(folders.logs)) {
    if (name.endsWith(".log")) await rm(join(folders.logs, name));
  }
  return folders;
}

export async function removeWork({ work }: Folders): Promise<void> {
  await rm(work, { recursive: true, force: true });
}

/** @throws disk.full and the like */
export async function writeText(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  } catch (error) {
    throw toConsiliumError(error);
  }
}

/** A PNG as a data URL. */
export async function pngDataUrl(file: string): Promise<string> {
  return `data:image/png;base64,${(await readFile(file)).toString("base64")}`;
}
