/** Start-up sweep of the blob store: blobs whose row a crash has prevented, and sealed updates that are spent. */
import type { Sha256 } from "@consilium/shared/ids";
import type { Blobs } from "./blobs.ts";

/** @returns how many were removed */
export async function removeOrphans(
  blobs: Blobs,
  isNeeded: (sha256: Sha256) => boolean | Promise<boolean>,
): Promise<number> {
  let removed = 0;
  for (const sha256 of await blobs.list()) {
    if (await isNeeded(sha256)) continue;
    await blobs.remove(sha256);
    removed += 1;
  }
  return removed;
}
