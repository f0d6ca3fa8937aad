/**
 * Who signs and who can read: one Ed25519 key pair and one X25519 key pair, both from tweetnacl.
 * Verification goes through node:crypto, which refuses the malleated signatures (S + L) that tweetnacl accepts.
 */
import { createPublicKey, verify as verifyEd25519 } from "node:crypto";
import nacl from "tweetnacl";
import { canonicalJson, sha256, type Json } from "../canonical.ts";
import { ConsiliumError } from "../errors.ts";
import { fromBase64Url, toBase64Url } from "./encoding.ts";
import type { PublicIdentity, Signed } from "./signed.ts";

export type RandomBytes = (length: number) => Uint8Array;

export interface Identity {
  readonly public: PublicIdentity;
  /** Ed25519 seed, 32 bytes. Never logged, never sent. */
  readonly signingSeed: Uint8Array;
  /** X25519 secret, 32 bytes. Never logged, never sent. */
  readonly sealingSecret: Uint8Array;
}

export function createIdentity(random: RandomBytes): Identity {
  return identityFromSecrets(random(32), random(32));
}

export function identityFromSecrets(signingSeed: Uint8Array, sealingSecret: Uint8Array): Identity {
  return {
    public: {
      signingKey: toBase64Url(nacl.sign.keyPair.fromSeed(signingSeed).publicKey),
      sealingKey: toBase64Url(nacl.box.keyPair.fromSecretKey(sealingSecret).publicKey),
    },
    signingSeed,
    sealingSecret,
  };
}

/** Eight groups of four hexadecimal digits, for comparing by telephone. */
export function fingerprint(identity: PublicIdentity): string {
  const digest = sha256(canonicalJson({ ...identity }));
  return digest.slice(0, 32).match(/.{4}/g)?.join(" ") ?? digest;
}

/** What a signature is about; keeps a signature for one purpose from serving another. */
export type SignedKind =
  | "plan"
  | "round-opening"
  | "contribution"
  | "session"
  | "coordinator-proof"
  | "enrolment"
  | "checkpoint"
  | "fingerprint"
  | "cohort"
  | "image-distances"
  | "roster"
  | "roster-version"
  | "roster-endorsement"
  | "audit-head"
  | "audit-countersignature"
  | "secagg-keys"
  | "secagg-dealing"
  | "secagg-masked"
  | "secagg-survivors"
  | "secagg-release";

/** tweetnacl's form of the key, which takes as long to derive as a signature takes to make. */
const signingKeys = new WeakMap<Identity, Uint8Array>();

function signingKeyOf(identity: Identity): Uint8Array {
  const known = signingKeys.get(identity);
  if (known !== undefined) return known;
  const { secretKey } = nacl.sign.keyPair.fromSeed(identity.signingSeed);
  signingKeys.set(identity, secretKey);
  return secretKey;
}

export function sign<T extends object>(kind: SignedKind, body: T, identity: Identity): Signed<T> {
  const signature = nacl.sign.detached(signedBytes(kind, body), signingKeyOf(identity));
  return { body, signature: toBase64Url(signature) };
}

/** @throws crypto.bad-signature */
export function verify<T extends object>(kind: SignedKind, signed: Signed<T>, signer: PublicIdentity): T {
  const key = createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: signer.signingKey },
    format: "jwk",
  });
  if (!verifyEd25519(null, signedBytes(kind, signed.body), key, fromBase64Url(signed.signature))) {
    throw new ConsiliumError("crypto.bad-signature", { culprits: [kind] });
  }
  return signed.body;
}

function signedBytes(kind: SignedKind, body: object): Uint8Array {
  return new TextEncoder().encode(`consilium/1 ${kind}\n${canonicalJson(body as Json)}`);
}
