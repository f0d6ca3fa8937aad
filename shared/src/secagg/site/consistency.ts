/** Round 4 at a site: signs the one list of survivors that it accepts in this attempt (figure 4, round 3). */
import { sign } from "../../crypto/identity.ts";
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { assertContext, compareSites, type Attempt, type Self } from "../attempt.ts";
import { assertSums } from "../left.ts";
import type { Mesh } from "../mesh.ts";
import type { SignedVote, SurvivorList } from "../messages.ts";
import type { Round } from "../round.ts";
import { survivorsHash } from "../transcript.ts";
import { moveHeld, type Contributed } from "./contribute.ts";
import type { HeldShares } from "./share.ts";

export interface Voted {
  readonly phase: "voted";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  readonly participants: readonly SiteId[];
  readonly held: ReadonlyMap<SiteId, HeldShares>;
  /** In the order of their names. */
  readonly survivors: readonly SiteId[];
  readonly vote: SignedVote;
}

/**
 * @throws secagg.too-few-sites below the threshold or below three survivors, in all or in a group, or if a sum falls apart
 * @throws secagg.equivocation if the list names a site twice or one that did not deal
 * @throws round.not-open if this site is not on the list: its vector came too late, and it has nothing to release
 * @throws secagg.other-attempt
 * @throws secagg.spent if this state has signed a list before
 */
export function consistency(state: Contributed, self: Self, list: SurvivorList): Round<SignedVote, Voted> {
  const { attempt, mesh, participants } = state;
  assertContext(attempt, list.context);
  const survivors = list.survivors.toSorted(compareSites);
  const dealt = new Set(participants);
  if (new Set(survivors).size !== survivors.length || survivors.some((site) => !dealt.has(site))) {
    throw new ConsiliumError("secagg.equivocation", { detail: "(list of survivors)" });
  }
  if (!survivors.includes(self.site)) throw new ConsiliumError("round.not-open", { culprits: [self.site] });
  assertSums(attempt, mesh, survivors);
  const held = moveHeld(state.held);
  const vote = sign(
    "secagg-survivors",
    {
      context: attempt.context,
      site: self.site,
      transcript: state.transcript,
      survivors: survivorsHash(attempt, survivors),
    },
    self.identity,
  );
  return {
    broadcast: vote,
    keep: { phase: "voted", attempt, mesh, participants, held, survivors, vote },
  };
}
