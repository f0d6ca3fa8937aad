/**
 * Round 3 at a site, first half: opens what the neighbours dealt and derives the masks (figure 4, round 2). No update is
 * needed for it, so masks can be added up while the model trains.
 */
import nacl from "tweetnacl";
import { fromBase64Url } from "../../crypto/encoding.ts";
import { ConsiliumError } from "../../errors.ts";
import type { Sha256, SiteId } from "../../ids.ts";
import { assertContext, compareSites, tooFew, verifyMember, type Attempt, type Self } from "../attempt.ts";
import { agreement, sealingKey, selfMaskKey, shareDigest } from "../derive.ts";
import { badShare, isUnderRoot } from "../digests.ts";
import { assertWhole } from "../left.ts";
import type { MaskTerm } from "../masks.ts";
import { neighbours, shareThresholdFor, type Mesh } from "../mesh.ts";
import { SHARE_BYTES, type Delivery } from "../messages.ts";
import { required } from "../required.ts";
import { assertUnspent, moveSecret, wipe } from "../secrets.ts";
import { transcriptHash } from "../transcript.ts";
import type { HeldShares, Shared } from "./share.ts";

export interface Masking {
  readonly phase: "masking";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  /** Sites that dealt, in the order of their names. */
  readonly participants: readonly SiteId[];
  readonly transcript: Sha256;
  readonly held: ReadonlyMap<SiteId, HeldShares>;
  /** The self mask, and one for each neighbour that dealt: added by the site whose name comes first. */
  readonly masks: readonly MaskTerm[];
}

/**
 * Nothing is broadcast: the masked vector follows when there is an update (contribute.ts).
 * @throws secagg.too-few-sites, secagg.other-attempt, crypto.bad-signature
 * @throws secagg.equivocation if the list of sites that dealt contradicts the deliveries or the advertised keys
 * @throws secagg.bad-share, naming the dealer, if a box does not open or holds another share than the dealer signed
 * @throws secagg.bad-key, secagg.spent
 */
export function mask(state: Shared, self: Self, delivery: Delivery): { readonly keep: Masking } {
  const { attempt, mesh, keys } = state;
  assertUnspent(
    state.sealSecret,
    state.selfSeed,
    state.own.self,
    state.own.pair,
    ...state.pairMasks.values(),
  );
  assertContext(attempt, delivery.context);
  const participants = delivery.participants.toSorted(compareSites);
  const present = new Set(participants);
  if (
    present.size !== participants.length ||
    !present.has(self.site) ||
    participants.some((site) => !keys.has(site))
  ) {
    throw new ConsiliumError("secagg.equivocation", { detail: "(list of sites that dealt)" });
  }
  assertWhole(attempt, mesh, participants);
  const dealers = neighbours(mesh, self.site, present);
  const holders = shareThresholdFor(mesh, self.site);
  if (dealers.length + 1 < holders) throw tooFew(dealers.length + 1, holders);
  const delivered = new Map(delivery.dealings.map((one) => [one.dealing.body.site, one]));
  if (delivered.size !== delivery.dealings.length || delivered.size !== dealers.length) {
    throw new ConsiliumError("secagg.equivocation", { detail: "(deliveries)" });
  }

  const agree = agreement(state.sealSecret);
  const sealKeyOf = (dealer: SiteId): Uint8Array => fromBase64Url(required(keys.get(dealer)).sealKey);
  const opened = dealers.map((dealer): [SiteId, HeldShares] => {
    const one = delivered.get(dealer);
    if (one === undefined) throw new ConsiliumError("secagg.equivocation", { detail: "(deliveries)" });
    return [dealer, openShares(state, self.site, one, agree(sealKeyOf(dealer), dealer))];
  });
  const pairTerms = dealers.map((other): MaskTerm => {
    const key = moveSecret(required(state.pairMasks.get(other)));
    return { key, sign: compareSites(self.site, other) < 0 ? 1 : -1 };
  });
  const selfMask: MaskTerm = { key: selfMaskKey(state.selfSeed, attempt.context, self.site), sign: 1 };
  wipe(state.sealSecret, state.selfSeed, ...state.pairMasks.values());
  const own: HeldShares = { self: moveSecret(state.own.self), pair: moveSecret(state.own.pair) };
  return {
    keep: {
      phase: "masking",
      attempt,
      mesh,
      participants,
      transcript: transcriptHash(attempt, mesh, participants),
      held: new Map([...opened, [self.site, own]]),
      masks: [selfMask, ...pairTerms],
    },
  };
}

function openShares(
  { attempt, mesh }: Shared,
  site: SiteId,
  { dealing, path, box }: Delivery["dealings"][number],
  agreed: Uint8Array,
): HeldShares {
  const { context } = attempt;
  const { site: dealer, root } = verifyMember(attempt, "secagg-dealing", dealing);
  const key = sealingKey(agreed, context, dealer, site);
  const bytes = fromBase64Url(box);
  const nonceBytes = nacl.secretbox.nonceLength;
  const plaintext = nacl.secretbox.open(bytes.subarray(nonceBytes), bytes.subarray(0, nonceBytes), key);
  wipe(key);
  if (plaintext?.length !== 2 * SHARE_BYTES) throw badShare(dealer);
  const shares: HeldShares = {
    self: plaintext.slice(0, SHARE_BYTES),
    pair: plaintext.slice(SHARE_BYTES),
  };
  wipe(plaintext);
  const holders = required(mesh.holders.get(dealer));
  const own = (["self", "pair"] as const).map((kind) =>
    shareDigest(shares[kind], context, { kind, dealer, holder: site }),
  );
  const place = { at: holders.indexOf(site), of: holders.length };
  if (!isUnderRoot(Buffer.concat(own), place, { root, path })) throw badShare(dealer);
  return shares;
}
