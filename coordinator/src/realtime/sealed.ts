/** The sealed bytes that an upload brings. */
import type { Sha256 } from "@consilium/shared/ids";
import type { UploadBegin } from "@consilium/shared/protocol/events";

export const sealedOf = (
  object: UploadBegin["object"],
): { readonly sealedSha256: Sha256; readonly sealedBytes: number } => {
  if (object.kind === "genesis") return object;
  if (object.kind === "contribution") return object.header.body;
  const { sha256: sealedSha256, bytes: sealedBytes } = object.masked.body;
  return { sealedSha256, sealedBytes };
};

export const sameObject = (a: UploadBegin["object"], b: UploadBegin["object"]): boolean =>
  sealedOf(a).sealedSha256 === sealedOf(b).sealedSha256;
