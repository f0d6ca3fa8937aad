/** Everything that is derived from secrets: keys, commitments, digests. Each has a label and the context of its own. */
import { createPrivateKey, createPublicKey, diffieHellman, hash, hkdfSync } from "node:crypto";
import { toBase64Url } from "../crypto/encoding.ts";
import { ConsiliumError } from "../errors.ts";
import type { Sha256, SiteId } from "../ids.ts";
import { compareSites } from "./attempt.ts";

export type ShareKind = "self" | "pair";

/** What comes before the 32 bytes of an X25519 secret in PKCS #8 (RFC 8410, section 7). */
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

/**
 * X25519 (RFC 7748) of one secret with one public key after the other, by OpenSSL: a site of a hundred agrees on two hundred
 * keys, and tweetnacl takes a dozen times as long for each.
 * @returns throws secagg.bad-key, naming the other site, if its key is of low order
 */
export function agreement(secret: Uint8Array): (publicKey: Uint8Array, other: SiteId) => Uint8Array {
  const encoded = Buffer.concat([PRIVATE_PREFIX, secret]);
  const privateKey = createPrivateKey({ key: encoded, format: "der", type: "pkcs8" });
  encoded.fill(0);
  return (publicKey, other) => {
    const jwk = { kty: "OKP", crv: "X25519", x: toBase64Url(publicKey) };
    try {
      return Uint8Array.from(
        diffieHellman({ privateKey, publicKey: createPublicKey({ key: jwk, format: "jwk" }) }),
      );
    } catch (cause) {
      // OpenSSL refuses a result of zeros (RFC 7748, section 6.1).
      throw new ConsiliumError("secagg.bad-key", { culprits: [other], cause });
    }
  };
}

/** HKDF-SHA256(agreed, salt = context, info = "consilium/1 secagg seal\nFROM\nTO"); one key for each direction. */
export function sealingKey(agreed: Uint8Array, context: Sha256, from: SiteId, to: SiteId): Uint8Array {
  return expand(agreed, context, `seal\n${from}\n${to}`);
}

/** HKDF-SHA256(agreed, salt = context, info = "consilium/1 secagg pair\nMIN\nMAX"); the same for both. */
export function pairMaskKey(agreed: Uint8Array, context: Sha256, a: SiteId, b: SiteId): Uint8Array {
  return expand(agreed, context, `pair\n${[a, b].sort(compareSites).join("\n")}`);
}

/** HKDF-SHA256(seed, salt = context, info = "consilium/1 secagg self\nSITE"). */
export function selfMaskKey(seed: Uint8Array, context: Sha256, site: SiteId): Uint8Array {
  return expand(seed, context, `self\n${site}`);
}

/** SHA-256("consilium/1 secagg commitment\nCONTEXT\nSITE\n" || seed) */
export function seedCommitment(seed: Uint8Array, context: Sha256, site: SiteId): Sha256 {
  return digest(`commitment\n${context}\n${site}\n`, seed).toString("hex") as Sha256;
}

/** SHA-256("consilium/1 secagg share\nCONTEXT\nKIND\nDEALER\nHOLDER\n" || share) */
export function shareDigest(
  share: Uint8Array,
  context: Sha256,
  place: { readonly kind: ShareKind; readonly dealer: SiteId; readonly holder: SiteId },
): Buffer {
  return digest(`share\n${context}\n${place.kind}\n${place.dealer}\n${place.holder}\n`, share);
}

function expand(secret: Uint8Array, context: Sha256, label: string): Uint8Array {
  return new Uint8Array(
    hkdfSync("sha256", secret, Buffer.from(context, "hex"), `consilium/1 secagg ${label}`, 32),
  );
}

function digest(label: string, secret: Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.from(`consilium/1 secagg ${label}`), secret]);
  const digested = hash("sha256", bytes, "buffer");
  bytes.fill(0);
  return digested;
}
