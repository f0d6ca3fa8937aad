/** Rounds 3 and 4 at the coordinator: names the sites whose masked vectors it has, and collects their signatures. */
import { ConsiliumError } from "../../errors.ts";
import type { Sha256, SiteId } from "../../ids.ts";
import { compareSites, tooFew, verifyMember, type Attempt } from "../attempt.ts";
import { assertSums, inWholeGroups } from "../left.ts";
import type { Mesh } from "../mesh.ts";
import type { Agreement, SignedKeys, SignedMasked, SignedVote, SurvivorList } from "../messages.ts";
import type { CoordinatorRound } from "../round.ts";
import { survivorsHash, transcriptHash } from "../transcript.ts";
import { admit, type Checked } from "./admit.ts";
import type { Dealt, Routed } from "./route.ts";

export interface Listed {
  readonly phase: "listed";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  readonly keys: readonly SignedKeys[];
  readonly participants: readonly SiteId[];
  readonly dealings: ReadonlyMap<SiteId, Dealt>;
  /** Sites whose vectors are in a sum, in the order of their names. */
  readonly survivors: readonly SiteId[];
  /** What a vote has to be about (transcript.ts). */
  readonly transcript: Sha256;
  readonly survivorsHash: Sha256;
}

/**
 * @param masked headers of the frames that are complete on disk under the hash that they name
 * @param frameBytes of this layout (frame.ts)
 * @param checked by `assertMasked`
 * @throws secagg.too-few-sites
 */
export function listSurvivors(
  state: Routed,
  masked: readonly SignedMasked[],
  frameBytes: number,
  checked?: Checked,
): CoordinatorRound<SurvivorList, Listed> {
  const { attempt, mesh, keys, participants, dealings } = state;
  const { admitted, refused } = admit(
    masked,
    ({ body }) => body.site,
    (signed) => {
      assertMasked(state, signed, frameBytes);
    },
    checked,
  );
  const survivors = inWholeGroups(mesh, [...admitted.keys()].sort(compareSites));
  assertSums(attempt, mesh, survivors);
  return {
    broadcast: { context: attempt.context, survivors },
    keep: {
      phase: "listed",
      attempt,
      mesh,
      keys,
      participants,
      dealings,
      survivors,
      transcript: transcriptHash(attempt, mesh, participants),
      survivorsHash: survivorsHash(attempt, survivors),
    },
    refused,
  };
}

/**
 * What `listSurvivors` asks of one message.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, round.not-open, frame.wrong-length
 */
export function assertMasked({ attempt, dealings }: Routed, signed: SignedMasked, frameBytes: number): void {
  const { site, bytes } = verifyMember(attempt, "secagg-masked", signed);
  if (!dealings.has(site)) throw new ConsiliumError("round.not-open", { culprits: [site] });
  if (bytes !== frameBytes) throw new ConsiliumError("frame.wrong-length", { culprits: [site] });
}

export interface Agreed extends Omit<Listed, "phase"> {
  readonly phase: "agreed";
}

/**
 * @param checked by `assertVote`
 * @throws secagg.too-few-sites with fewer than `threshold` signatures on the list that was sent
 */
export function collectVotes(
  state: Listed,
  votes: readonly SignedVote[],
  checked?: Checked,
): CoordinatorRound<Agreement, Agreed> {
  const { attempt, survivors } = state;
  const { admitted, refused } = admit(
    votes,
    ({ body }) => body.site,
    (signed) => {
      assertVote(state, signed);
    },
    checked,
  );
  const { threshold } = attempt.terms;
  if (admitted.size < threshold) throw tooFew(admitted.size, threshold, without(survivors, admitted));
  return {
    broadcast: { context: attempt.context, votes: [...admitted.values()] },
    keep: { ...state, phase: "agreed" },
    refused,
  };
}

/**
 * What `collectVotes` asks of one message.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, round.not-open, secagg.equivocation
 */
export function assertVote(state: Listed, signed: SignedVote): void {
  const { attempt, survivors } = state;
  const body = verifyMember(attempt, "secagg-survivors", signed);
  const culprits: SiteId[] = [body.site];
  if (!survivors.includes(body.site)) throw new ConsiliumError("round.not-open", { culprits });
  if (body.transcript !== state.transcript || body.survivors !== state.survivorsHash) {
    throw new ConsiliumError("secagg.equivocation", { culprits });
  }
}

function without(sites: readonly SiteId[], present: ReadonlyMap<SiteId, unknown>): SiteId[] {
  return sites.filter((site) => !present.has(site));
}
