/** The digests by which a dealer stands for each share that it dealt. */
import { fromBase64Url } from "../crypto/encoding.ts";
import { ConsiliumError } from "../errors.ts";
import type { SiteId } from "../ids.ts";
import type { ShareKind } from "./derive.ts";

const DIGEST_BYTES = 32;

/**
 * What a dealer signed, by holder's index and kind of share.
 * @throws secagg.bad-share, naming the dealer, if there are not two for each holder
 */
export function digestsOf(
  digests: string,
  holders: number,
  dealer: SiteId,
): (holder: number, kind: ShareKind) => Uint8Array {
  const bytes = fromBase64Url(digests);
  if (bytes.length !== holders * 2 * DIGEST_BYTES) throw badShare(dealer);
  return (holder, kind) => {
    const start = (2 * holder + (kind === "self" ? 0 : 1)) * DIGEST_BYTES;
    return bytes.subarray(start, start + DIGEST_BYTES);
  };
}

export function badShare(site: SiteId): ConsiliumError {
  return new ConsiliumError("secagg.bad-share", { culprits: [site] });
}
