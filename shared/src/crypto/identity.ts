/**
 * Who signs and who can read: one Ed25519 key pair and one X25519 key pair, both from tweetnacl.
 * Signatures are made and verified by node:crypto, which refuses the malleated ones (S + L) that tweetnacl accepts.
 */
import {
  createPrivateKey,
  createPublicKey,
  sign as signEd25519,
  verify as verifyEd25519,
  type KeyObject,
} from "node:crypto";
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

/** OpenSSL's form of the key, which takes about as long to make as a signature does. */
const signingKeys = new WeakMap<Identity, KeyObject>();

function signingKeyOf(identity: Identity): KeyObject {
  const known = signingKeys.get(identity);
  if (known !== undefined) return known;
  const d = toBase64Url(identity.signingSeed);
  const key = createPrivateKey({
    key: { kty: "OKP", crv: "Ed25519", x: identity.public.signingKey, d },
    format: "jwk",
  });
  signingKeys.set(identity, key);
  return key;
}

/** Ed25519 has one signature for each message and key, so tweetnacl's would be the same bytes, at ninety times the cost. */
export function sign<T extends object>(kind: SignedKind, body: T, identity: Identity): Signed<T> {
  const signature = signEd25519(null, signedBytes(kind, body), signingKeyOf(identity));
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
