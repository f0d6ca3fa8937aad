/** Every file below a folder, in an order that does not depend on the disk. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";

export interface FoundFile {
  readonly path: string;
  /** Below the folder, with forward slashes. */
  readonly relativePath: string;
}

export const NIFTI_ENDING = /\.nii(\.gz)?$/i;

/** Whether a file says by its name that it is NIfTI, plain or gzipped. */
export const isNifti = ({ relativePath }: FoundFile): boolean => NIFTI_ENDING.test(relativePath);

/**
 * Walks depth first, names in order of their code units. Links are followed; a folder that was entered before is not
 * entered again, so loops end. Hidden files and folders (a dot first) are the system's, not images, and are left out.
 * @throws ingest.folder-missing if `root` is not a folder that can be read
 */
export async function* walkFiles(root: string): AsyncGenerator<FoundFile, void> {
  const entered = new Set<string>();
  const enter = async (path: string): Promise<boolean> => {
    const { dev, ino } = await stat(path, { bigint: true });
    const identity = `${dev.toString()}:${ino.toString()}`;
    if (entered.has(identity)) return false;
    entered.add(identity);
    return true;
  };
  let names: string[];
  try {
    await enter(root);
    names = await sortedNames(root);
  } catch (cause) {
    throw new ConsiliumError("ingest.folder-missing", { cause });
  }
  // A stack of names still to visit, last first, so that depth costs no call frames.
  const pending: FoundFile[] = [];
  const push = (folder: FoundFile, children: readonly string[]): void => {
    for (const name of children.toReversed()) {
      const prefix = folder.relativePath === "" ? "" : `${folder.relativePath}/`;
      pending.push({ path: join(folder.path, name), relativePath: `${prefix}${name}` });
    }
  };
  push({ path: root, relativePath: "" }, names);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const kind = await kindOf(next.path);
    if (kind === "file") yield next;
    // A folder that cannot be listed is yielded, so that the reader counts it as unreadable.
    else if (kind === "folder") {
      try {
        if (await enter(next.path)) push(next, await sortedNames(next.path));
      } catch {
        yield next;
      }
    }
  }
}

async function sortedNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();
}

/** What a path is, through links. Links to nowhere count as files, sockets and devices as nothing. */
async function kindOf(path: string): Promise<"file" | "folder" | "other"> {
  try {
    const found = await stat(path);
    return found.isDirectory() ? "folder" : found.isFile() ? "file" : "other";
  } catch {
    return "file";
  }
}
