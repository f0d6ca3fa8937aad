/**
 * A folder in which several homes of one account find the encoder that their plans start from, by its hash: whoever fetches
 * it first leaves a copy, and whoever comes later takes one. A copy is believed as little as what comes over the network.
 *
 *     SHA256.ckpt          whole, when it was left there
 *     SHA256.HOME[.tmp]    on its way, of one home; the same name again after a crash
 */
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import {
  ensureFolder,
  fileBytes,
  moveFile,
  readIfPresent,
  removeFile,
  writeFileAtomic,
} from "../home/files.ts";
import type { Checkpoints } from "./checkpoints.ts";

const HOME_CHARACTERS = 16;

/** @throws config.invalid if it cannot be made */
export async function openSharedModels(folder: string): Promise<string> {
  try {
    await ensureFolder(folder);
  } catch (cause) {
    const detail = "(--shared-models: there is no such folder, and it cannot be made)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["sharedModels"], cause });
  }
  return path.resolve(folder);
}

/**
 * The home's checkpoints, with the one that the plan starts from also looked for in the shared folder, and left there.
 * Models of rounds are of one federation alone.
 * @param home its folder, which tells this writer from others
 */
export function sharingStart(
  own: Checkpoints,
  { start }: Pick<Plan, "start">,
  shared: string,
  home: string,
): Checkpoints {
  if (start === undefined) return own;
  const name = start.sha256;
  const file = path.join(shared, `${name}.ckpt`);
  const onItsWay = path.join(shared, `${name}.${sha256(path.resolve(home)).slice(0, HOME_CHARACTERS)}`);

  const take = async (): Promise<Uint8Array | null> => {
    const held = await fileBytes(file);
    if (held === null) return null;
    const bytes = held === start.bytes ? await readIfPresent(file) : null;
    if (bytes === null || sha256(bytes) !== name) {
      await removeFile(file);
      return null;
    }
    const part = await own.part(name);
    await part.discard();
    const appender = await part.open();
    try {
      await appender.append(bytes);
    } finally {
      await appender.close();
    }
    await part.complete();
    return bytes;
  };
  const leave = async (bytes: Uint8Array): Promise<void> => {
    if ((await fileBytes(file)) === start.bytes) return;
    await writeFileAtomic(onItsWay, bytes);
    await moveFile(onItsWay, file);
  };
  return {
    ...own,
    async read(wanted: Sha256) {
      const held = await own.read(wanted);
      if (wanted !== name) return held;
      // A folder that only others may write to, or one that is full, saves this home no less.
      if (held === null) return take().catch(() => null);
      await leave(held).catch(() => undefined);
      return held;
    },
  };
}
