/**
 * Round 5 at the coordinator: rebuilds the survivors' self seeds and the other participants' pair secrets, checks each,
 * and says which masks are left in the sum. A wrong share is its releaser's doing, because it differs from the digest
 * that releaser and coordinator were both given; right shares of a wrong secret are the dealer's.
 */
import nacl from "tweetnacl";
import { fromBase64Url, toBase64Url } from "../../crypto/encoding.ts";
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { compareSites, tooFew, verifyMember } from "../attempt.ts";
import {
  agreement,
  pairMaskKey,
  seedCommitment,
  selfMaskKey,
  shareDigest,
  type ShareKind,
} from "../derive.ts";
import { badShare, digestAt } from "../digests.ts";
import type { MaskTerm } from "../masks.ts";
import type { Group } from "../groups.ts";
import { neighbours } from "../mesh.ts";
import type { SignedRelease } from "../messages.ts";
import { required } from "../required.ts";
import type { Refusal } from "../round.ts";
import { wipe } from "../secrets.ts";
import { combineShares, type Point } from "../shamir.ts";
import { MIN_GROUPS, sharesNeeded } from "../threshold.ts";
import { admit, type Checked } from "./admit.ts";
import type { Agreed } from "./survivors.ts";

export interface Unmasking {
  readonly phase: "unmasking";
  readonly survivors: readonly SiteId[];
  /** To be added, with their signs, to the sum of the survivors' vectors. */
  readonly removals: readonly MaskTerm[];
}

/** A group whose sum stays masked. */
export interface LeftOut {
  /** Its survivors, in the order of their names. */
  readonly sites: readonly SiteId[];
  readonly error: ConsiliumError;
}

export interface Unmaskings {
  /** One, unless groups are summed apart. */
  readonly sums: readonly Unmasking[];
  readonly leftOut: readonly LeftOut[];
  readonly refused: readonly Refusal[];
}

/**
 * Of an attempt with one sum.
 * @throws secagg.too-few-sites if a secret cannot be rebuilt, naming survivors that released nothing usable
 * @throws secagg.bad-dealing, naming the dealer, if correct shares do not give the secret that it stood for
 */
export function unmask(
  state: Agreed,
  releases: readonly SignedRelease[],
): { readonly keep: Unmasking; readonly refused: readonly Refusal[] } {
  const { sums, refused } = unmaskGroups(state, releases);
  return { keep: required(sums[0]), refused };
}

/**
 * Of each group with survivors.
 * @param checked by `assertRelease`
 * @throws as `unmask` if one sum, or the third of several groups, cannot be opened
 */
export function unmaskGroups(
  state: Agreed,
  releases: readonly SignedRelease[],
  checked?: Checked,
): Unmaskings {
  const { groups } = state.mesh;
  const { admitted, refused } = admit(
    releases,
    ({ body }) => body.site,
    (signed) => {
      assertRelease(state, signed);
    },
    checked,
  );
  const points = pointsByDealer(state, admitted);
  const sums: Unmasking[] = [];
  const leftOut: LeftOut[] = [];
  for (const group of groups) {
    const sites = group.sites.filter((site) => state.survivors.includes(site));
    if (sites.length === 0) continue;
    try {
      const silent = sites.filter((site) => !admitted.has(site));
      sums.push(unmaskGroup(state, group, sites, { points, silent }));
    } catch (error) {
      if (!(error instanceof ConsiliumError)) throw error;
      leftOut.push({ sites, error });
    }
  }
  const [first] = leftOut;
  if (first !== undefined && sums.length < Math.min(MIN_GROUPS, groups.length)) throw first.error;
  return { sums, leftOut, refused };
}

function unmaskGroup(
  { attempt: { context }, mesh, participants, dealings, keys }: Agreed,
  group: Group,
  survivors: readonly SiteId[],
  released: { readonly points: ReadonlyMap<SiteId, readonly Point[]>; readonly silent: readonly SiteId[] },
): Unmasking {
  const survived = new Set(survivors);
  const threshold = sharesNeeded(group.threshold);
  const rebuild = (dealer: SiteId): Uint8Array => {
    const known = released.points.get(dealer) ?? [];
    if (known.length < threshold) throw tooFew(known.length, threshold, released.silent);
    return combineShares(known.slice(0, threshold));
  };

  const pairKeys = new Map(keys.map(({ body }) => [body.site, body.pairKey]));
  const inGroup = participants.filter((site) => group.sites.includes(site));
  const removals = inGroup.flatMap((dealer): MaskTerm[] => {
    const secret = rebuild(dealer);
    if (survived.has(dealer)) {
      const { commitment } = required(dealings.get(dealer)).body;
      if (seedCommitment(secret, context, dealer) !== commitment) throw badDealing(dealer);
      const term: MaskTerm = { key: selfMaskKey(secret, context, dealer), sign: -1 };
      wipe(secret);
      return [term];
    }
    const { publicKey } = nacl.box.keyPair.fromSecretKey(secret);
    if (toBase64Url(publicKey) !== pairKeys.get(dealer)) throw badDealing(dealer);
    const agree = agreement(secret);
    const terms = neighbours(mesh, dealer, survived).map((other): MaskTerm => {
      const agreed = agree(fromBase64Url(required(pairKeys.get(other))), other);
      // The survivor added it if its name comes first.
      return {
        key: pairMaskKey(agreed, context, dealer, other),
        sign: compareSites(other, dealer) < 0 ? -1 : 1,
      };
    });
    wipe(secret);
    return terms;
  });
  return { phase: "unmasking", survivors, removals };
}

/**
 * What `unmask` asks of one message: that a survivor released exactly the shares that it owes, each as it was dealt.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, round.not-open, secagg.equivocation, secagg.bad-share
 */
export function assertRelease(state: Agreed, signed: SignedRelease): void {
  const { attempt, mesh, dealings, participants, survivors } = state;
  const survived = new Set(survivors);
  const { site, survivors: list, shares } = verifyMember(attempt, "secagg-release", signed);
  if (!survived.has(site)) throw new ConsiliumError("round.not-open", { culprits: [site] });
  if (list !== state.survivorsHash) {
    throw new ConsiliumError("secagg.equivocation", { culprits: [site] });
  }
  const owed = [...neighbours(mesh, site, new Set(participants)), site].sort(compareSites);
  const given = shares.map(({ of }) => of).sort(compareSites);
  if (given.join() !== owed.join()) throw badShare(site);
  for (const { of: dealer, share } of shares) {
    const kind: ShareKind = survived.has(dealer) ? "self" : "pair";
    const holders = required(mesh.holders.get(dealer));
    const { digests } = required(dealings.get(dealer));
    const dealt = digestAt(digests, holders.indexOf(site), kind);
    const digest = shareDigest(fromBase64Url(share), attempt.context, { kind, dealer, holder: site });
    if (!digest.equals(dealt)) throw badShare(site);
  }
}

function pointsByDealer(
  { mesh, participants }: Agreed,
  releases: ReadonlyMap<SiteId, SignedRelease>,
): Map<SiteId, Point[]> {
  const points = new Map<SiteId, Point[]>(participants.map((site) => [site, []]));
  for (const [holder, { body }] of releases) {
    for (const { of: dealer, share } of body.shares) {
      const x = required(mesh.holders.get(dealer)).indexOf(holder) + 1;
      required(points.get(dealer)).push({ x, share: fromBase64Url(share) });
    }
  }
  return points;
}

function badDealing(dealer: SiteId): ConsiliumError {
  return new ConsiliumError("secagg.bad-dealing", { culprits: [dealer] });
}
