/** One coordinator per home folder. */
import { ConsiliumError } from "@consilium/shared/errors";
import { tryLock } from "@consilium/shared/file-lock";

/** @returns a function that releases it; throws home.in-use, and as tryLock */
export function lockHome(file: string): () => void {
  const release = tryLock(file);
  if (release === null) throw new ConsiliumError("home.in-use");
  return release;
}
