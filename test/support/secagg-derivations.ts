/** What lies between the messages of an attempt: everything that is derived from its secrets, step by step. */
import { canonicalJson, type Json } from "@consilium/shared/canonical";
import { fromBase64Url } from "@consilium/shared/crypto/encoding";
import type { SignedKind } from "@consilium/shared/crypto/identity";
import type { SiteId } from "@consilium/shared/ids";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import {
  agreement,
  pairMaskKey,
  sealingKey,
  selfMaskKey,
  shareDigest,
} from "@consilium/shared/secagg/derive";
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import { maskBlock } from "@consilium/shared/secagg/masks";
import type { Mesh } from "@consilium/shared/secagg/mesh";
import type { SignedKeys } from "@consilium/shared/secagg/messages";
import { required } from "@consilium/shared/secagg/required";
import { splitSecret } from "@consilium/shared/secagg/shamir";
import { survivorsHash, transcriptHash } from "@consilium/shared/secagg/transcript";

export interface AttemptSecrets {
  readonly site: SiteId;
  /** X25519 secrets, as drawn. */
  readonly seal: Uint8Array;
  readonly pair: Uint8Array;
  readonly selfSeed: Uint8Array;
  /** What the polynomials were drawn from: those of the self seed, then those of the pair secret. */
  readonly coefficients: readonly Uint8Array[];
}

export interface PlayedAttempt {
  readonly attempt: Attempt;
  readonly layout: VectorLayout;
  readonly mesh: Mesh;
  readonly keys: readonly SignedKeys[];
  readonly participants: readonly SiteId[];
  readonly survivors: readonly SiteId[];
  readonly secrets: readonly AttemptSecrets[];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export function derivationsOf(played: PlayedAttempt) {
  const { attempt, mesh, participants, survivors, secrets } = played;
  return {
    geometry: geometryOf(played.layout),
    mesh: {
      digest: mesh.digest,
      shareThreshold: required(mesh.groups[0]).threshold,
      holders: Object.fromEntries(mesh.holders),
    },
    transcript: transcriptHash(attempt, mesh, participants),
    survivors: survivorsHash(attempt, survivors),
    sites: Object.fromEntries(secrets.map((own) => [own.site, ofSite(played, own)])),
    pairs: secrets.flatMap((one, i) => secrets.slice(i + 1).map((other) => ofPair(played, one, other))),
  };
}

/** The bytes that a signature of this kind is over, as text. */
export const signedText = (kind: SignedKind, body: object): string =>
  `consilium/1 ${kind}\n${canonicalJson(body as Json)}`;

function ofSite({ attempt, mesh, layout }: PlayedAttempt, own: AttemptSecrets) {
  const { context } = attempt;
  const { site, selfSeed } = own;
  const holders = required(mesh.holders.get(site));
  const split = { holders: holders.length, threshold: required(mesh.groups[0]).threshold };
  const drawn = own.coefficients.map((bytes) => Uint8Array.from(bytes)).values();
  const draw = (): Uint8Array => required(drawn.next().value);
  const selfShares = splitSecret(selfSeed, split, draw);
  const pairShares = splitSecret(own.pair, split, draw);
  const selfMask = selfMaskKey(selfSeed, context, site);
  return {
    selfMaskKey: hex(selfMask),
    selfMask: hex(maskBlock(selfMask, 0, geometryOf(layout).totalBytes)),
    shares: holders.map((holder, i) => {
      const [self, pair] = [required(selfShares[i]), required(pairShares[i])];
      const place = { dealer: site, holder };
      return {
        holder,
        x: i + 1,
        self: hex(self),
        pair: hex(pair),
        selfDigest: hex(shareDigest(self, context, { ...place, kind: "self" })),
        pairDigest: hex(shareDigest(pair, context, { ...place, kind: "pair" })),
      };
    }),
  };
}

function ofPair({ attempt, layout, keys }: PlayedAttempt, one: AttemptSecrets, other: AttemptSecrets) {
  const { context } = attempt;
  const keyOf = (kind: "sealKey" | "pairKey"): Uint8Array =>
    fromBase64Url(required(keys.find(({ body }) => body.site === other.site)).body[kind]);
  const sealed = agreement(one.seal)(keyOf("sealKey"), other.site);
  const paired = agreement(one.pair)(keyOf("pairKey"), other.site);
  const maskKey = pairMaskKey(paired, context, one.site, other.site);
  return {
    between: [one.site, other.site],
    sealAgreed: hex(sealed),
    /** Keys of the boxes, one for each direction. */
    sealingKeys: [
      hex(sealingKey(sealed, context, one.site, other.site)),
      hex(sealingKey(sealed, context, other.site, one.site)),
    ],
    pairAgreed: hex(paired),
    maskKey: hex(maskKey),
    /** Added by the first, subtracted by the second. */
    mask: hex(maskBlock(maskKey, 0, geometryOf(layout).totalBytes)),
  };
}
