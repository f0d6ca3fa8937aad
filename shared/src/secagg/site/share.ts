/** Round 2 at a site: a self seed; shares of it and of the pair secret, sealed for each neighbour (figure 4, round 1). */
import nacl from "tweetnacl";
import { fromBase64Url, toBase64Url } from "../../crypto/encoding.ts";
import { sign, type RandomBytes } from "../../crypto/identity.ts";
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { assertContext, type Attempt, type Self } from "../attempt.ts";
import { agreement, pairMaskKey, sealingKey, seedCommitment, shareDigest } from "../derive.ts";
import { digestTree, rootOf } from "../digests.ts";
import { verifiedMesh } from "../key-list.ts";
import { shareThresholdFor, type Mesh } from "../mesh.ts";
import type { DealingMessage, KeyList, SignedKeys } from "../messages.ts";
import { required } from "../required.ts";
import type { Round } from "../round.ts";
import { assertUnspent, moveSecret, wipe } from "../secrets.ts";
import { splitSecret } from "../shamir.ts";
import type { Advertised } from "./advertise.ts";

/** What a site holds of a neighbour's secrets, or of its own. It gives away one of the two at most. */
export interface HeldShares {
  /** Of the dealer's self seed. */
  readonly self: Uint8Array;
  /** Of the dealer's pair secret. */
  readonly pair: Uint8Array;
}

export interface Shared {
  readonly phase: "shared";
  readonly attempt: Attempt;
  readonly keys: ReadonlyMap<SiteId, SignedKeys["body"]>;
  readonly mesh: Mesh;
  readonly sealSecret: Uint8Array;
  /** Keys of the pairwise masks, by neighbour. */
  readonly pairMasks: ReadonlyMap<SiteId, Uint8Array>;
  /** The self mask comes from it. */
  readonly selfSeed: Uint8Array;
  /** This site's shares of its own secrets. */
  readonly own: HeldShares;
}

/**
 * @throws crypto.bad-signature, secagg.bad-key, secagg.other-attempt, site.unknown: the list is not what the sites sent
 * @throws secagg.too-few-sites
 * @throws secagg.spent if the state was used before
 */
export function share(
  state: Advertised,
  self: Self,
  list: KeyList,
  random: RandomBytes,
): Round<DealingMessage, Shared> {
  const { attempt } = state;
  const { context } = attempt;
  assertUnspent(state.sealSecret, state.pairSecret);
  assertContext(attempt, list.context);
  const mesh = verifiedMesh(attempt, list.keys);
  const keys = new Map(list.keys.map(({ body }) => [body.site, body]));
  const mine = keys.get(self.site);
  if (mine?.sealKey !== state.keys.body.sealKey || mine.pairKey !== state.keys.body.pairKey) {
    // An older message of this very site would verify as well.
    throw new ConsiliumError("secagg.bad-key", { culprits: [self.site] });
  }
  const holders = required(mesh.holders.get(self.site));
  // First everything that can fail: a secret that was shared once is not shared again.
  const others = holders.filter((to) => to !== self.site);
  const [agreeSeal, agreePair] = [agreement(state.sealSecret), agreement(state.pairSecret)];
  const keyOf = (to: SiteId, kind: "sealKey" | "pairKey"): Uint8Array =>
    fromBase64Url(required(keys.get(to))[kind]);
  const agreed = new Map(others.map((to) => [to, agreeSeal(keyOf(to, "sealKey"), to)]));
  const pairMasks = new Map(
    others.map((to) => [to, pairMaskKey(agreePair(keyOf(to, "pairKey"), to), context, self.site, to)]),
  );

  const selfSeed = random(32);
  const split = { holders: holders.length, threshold: shareThresholdFor(mesh, self.site) };
  const selfShares = splitSecret(selfSeed, split, random);
  const pairShares = splitSecret(state.pairSecret, split, random);
  const dealt = holders.map((to, i) => {
    const shares: HeldShares = { self: required(selfShares[i]), pair: required(pairShares[i]) };
    return { to, shares };
  });
  const digests = Buffer.concat(
    dealt.flatMap(({ to, shares }) => {
      const place = { dealer: self.site, holder: to };
      return [
        shareDigest(shares.self, context, { ...place, kind: "self" }),
        shareDigest(shares.pair, context, { ...place, kind: "pair" }),
      ];
    }),
  );
  const own = required(dealt.find(({ to }) => to === self.site)).shares;
  const boxes = dealt
    .filter(({ to }) => to !== self.site)
    .map(({ to, shares }) => {
      const key = sealingKey(required(agreed.get(to)), context, self.site, to);
      return { to, box: sealShares(shares, key, random) };
    });

  const dealing = sign(
    "secagg-dealing",
    {
      context,
      site: self.site,
      commitment: seedCommitment(selfSeed, context, self.site),
      root: rootOf(digestTree(digests)),
    },
    self.identity,
  );
  const sealSecret = moveSecret(state.sealSecret);
  // Whoever may need it again rebuilds it from the shares.
  wipe(state.pairSecret, ...agreed.values());
  return {
    broadcast: { dealing, digests: toBase64Url(digests), boxes },
    keep: {
      phase: "shared",
      attempt,
      keys,
      mesh,
      sealSecret,
      pairMasks,
      selfSeed,
      own,
    },
  };
}

/** nonce || secretbox(self share || pair share). Key and shares are wiped. */
function sealShares(shares: HeldShares, key: Uint8Array, random: RandomBytes): string {
  const nonce = random(nacl.secretbox.nonceLength);
  const plaintext = Buffer.concat([shares.self, shares.pair]);
  const sealed = nacl.secretbox(plaintext, nonce, key);
  wipe(plaintext, shares.self, shares.pair, key);
  return toBase64Url(Buffer.concat([nonce, sealed]));
}
