/** Disks change bits, and a crash of the machine may tear a file: an object is believed once its bytes have been hashed. */
import { createHash } from "node:crypto";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import type { Blobs } from "./blobs.ts";

/** Whom an error of the coordinator's own objects names: no site. */
export const OWN = "coordinator";

/**
 * The object's bytes as they come; each piece is good until the next is asked for.
 * @param culprit whom the error names
 * @throws hash.mismatch at their end if they are not what their name says; blob.unknown
 */
export function readHashed(
  blobs: Blobs,
  name: Sha256,
  culprit: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  return hashing(blobs.scan(name), name, [culprit]);
}

/** The bytes as they come. @throws hash.mismatch at their end */
export async function* hashing(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expected: Sha256,
  culprits: readonly string[] = [],
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  for await (const piece of source) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest("hex") !== expected) throw new ConsiliumError("hash.mismatch", { culprits });
}

/** Whether the object is here, with every bit as it was written. */
export async function isIntact(blobs: Blobs, name: Sha256, sizeBytes: number): Promise<boolean> {
  if ((await blobs.sizeOf(name)) !== sizeBytes) return false;
  const hash = createHash("sha256");
  for await (const piece of blobs.read(name)) hash.update(piece);
  return hash.digest("hex") === name;
}
