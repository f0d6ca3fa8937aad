/**
 * The checkpoints that a site holds, each named by its SHA-256, and the parts of one that is still being fetched:
 *
 *     checkpoints/SHA256.ckpt    whole, hash checked when it was stored and again when it is read
 *     checkpoints/SHA256.part    the beginning of one, to be continued
 */
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import {
  cutFile,
  ensureFolder,
  fileBytes,
  hashFile,
  listFolder,
  moveFile,
  openAppender,
  readIfPresent,
  removeFile,
  type Appender,
} from "../home/files.ts";

/** A download in progress. */
export interface Part {
  sizeBytes(): Promise<number>;
  /** To go on at the end. */
  open(): Promise<Appender>;
  /** Back to nothing. */
  discard(): Promise<void>;
  /** Checks the hash and makes the checkpoint visible under its name. @throws hash.mismatch, and drops the bytes */
  complete(): Promise<void>;
}

export interface Checkpoints {
  /** The bytes, or null if the site does not hold them; a damaged file is dropped and counts as not held. */
  read(name: Sha256): Promise<Uint8Array | null>;
  part(name: Sha256): Promise<Part>;
  /** Drops all but these. */
  keepOnly(names: readonly Sha256[]): Promise<void>;
}

export function checkpointFolder(folder: string): Checkpoints {
  const wholeFile = (name: Sha256): string => path.join(folder, `${name}.ckpt`);
  const partFile = (name: Sha256): string => path.join(folder, `${name}.part`);
  return {
    async read(name) {
      const bytes = await readIfPresent(wholeFile(name));
      if (bytes === null || sha256(bytes) === name) return bytes;
      await removeFile(wholeFile(name));
      return null;
    },
    async part(name) {
      await ensureFolder(folder);
      const file = partFile(name);
      return {
        sizeBytes: async () => (await fileBytes(file)) ?? 0,
        open: () => openAppender(file),
        discard: () => cutFile(file, 0),
        async complete() {
          if ((await hashFile(file)) !== name) {
            await removeFile(file);
            throw new ConsiliumError("hash.mismatch", { culprits: ["checkpoint"] });
          }
          await moveFile(file, wholeFile(name));
        },
      };
    },
    async keepOnly(names) {
      const kept = new Set<string>(names);
      for (const file of await listFolder(folder)) {
        if (!kept.has(path.parse(file).name)) await removeFile(path.join(folder, file));
      }
    },
  };
}
