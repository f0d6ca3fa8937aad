/**
 * Round 5 at a site: for each neighbour one share, of the self seed if it survived and of the pair secret if not
 * (figure 4, round 4). Which of the two follows from the list that this site has signed; nobody can ask for the other.
 */
import { toBase64Url } from "../../crypto/encoding.ts";
import { sign } from "../../crypto/identity.ts";
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { assertContext, tooFew, verifyMember, type Attempt, type Self } from "../attempt.ts";
import type { Agreement, SignedRelease, SignedVote } from "../messages.ts";
import type { Round } from "../round.ts";
import { assertUnspent, wipe } from "../secrets.ts";
import type { Voted } from "./consistency.ts";

export interface Released {
  readonly phase: "released";
  readonly attempt: Attempt;
  readonly survivors: readonly SiteId[];
  readonly release: SignedRelease;
}

/**
 * @throws secagg.equivocation, naming them, if sites have signed another list or another transcript
 * @throws secagg.too-few-sites with fewer than `threshold` signatures
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown
 * @throws secagg.spent if this state has released shares before
 */
export function unmask(state: Voted, self: Self, agreement: Agreement): Round<SignedRelease, Released> {
  const { attempt, survivors, vote } = state;
  for (const shares of state.held.values()) assertUnspent(shares.self, shares.pair);
  assertContext(attempt, agreement.context);
  assertAgreement(attempt, survivors, vote, agreement);
  const survived = new Set(survivors);
  const shares = [...state.held].map(([of, held]) => ({
    of,
    share: toBase64Url(survived.has(of) ? held.self : held.pair),
  }));
  for (const held of state.held.values()) wipe(held.self, held.pair);
  const release = sign(
    "secagg-release",
    { context: attempt.context, site: self.site, survivors: vote.body.survivors, shares },
    self.identity,
  );
  return { broadcast: release, keep: { phase: "released", attempt, survivors, release } };
}

/**
 * That at least `threshold` survivors, each counted once, have signed the very list and transcript of `vote`.
 * @throws secagg.equivocation, secagg.too-few-sites, crypto.bad-signature, secagg.other-attempt, site.unknown
 */
function assertAgreement(
  attempt: Attempt,
  survivors: readonly SiteId[],
  vote: SignedVote,
  { votes }: Agreement,
): void {
  const signers = new Set<SiteId>();
  for (const signed of votes) {
    const { site, transcript, survivors: list } = verifyMember(attempt, "secagg-survivors", signed);
    if (transcript !== vote.body.transcript || list !== vote.body.survivors) {
      throw new ConsiliumError("secagg.equivocation", { culprits: [site] });
    }
    if (survivors.includes(site)) signers.add(site);
  }
  const { threshold } = attempt.terms;
  if (signers.size < threshold) throw tooFew(signers.size, threshold);
}
