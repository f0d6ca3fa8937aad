/** X25519 (RFC 7748) by OpenSSL: the same bytes as tweetnacl's, a dozen times as fast. */
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import { toBase64Url } from "./encoding.ts";

/** Both of 32 bytes. */
export interface KeyPair {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** @returns throws whatever OpenSSL says if the other key is of low order: it refuses a result of zeros (section 6.1) */
export function x25519(own: KeyPair, other: Uint8Array): Uint8Array {
  const okp = { kty: "OKP", crv: "X25519" };
  // As JWK, since OpenSSL takes a millisecond to look through a secret in PKCS #8.
  const secret = { ...okp, x: toBase64Url(own.publicKey), d: toBase64Url(own.secretKey) };
  const privateKey = createPrivateKey({ key: secret, format: "jwk" });
  const publicKey = createPublicKey({ key: { ...okp, x: toBase64Url(other) }, format: "jwk" });
  return Uint8Array.from(diffieHellman({ privateKey, publicKey }));
}
