/** Round 3 at a site, second half: stands for the masked vector that it has written, and wipes the masks. */
import { sign } from "../../crypto/identity.ts";
import type { Sha256, SiteId } from "../../ids.ts";
import type { Attempt, Self } from "../attempt.ts";
import type { Mesh } from "../mesh.ts";
import type { SignedMasked } from "../messages.ts";
import type { Round } from "../round.ts";
import { assertUnspent, moveSecret, wipe } from "../secrets.ts";
import type { Masking } from "./mask.ts";
import type { HeldShares } from "./share.ts";

export interface Contributed {
  readonly phase: "contributed";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  readonly participants: readonly SiteId[];
  readonly transcript: Sha256;
  readonly held: ReadonlyMap<SiteId, HeldShares>;
  readonly masked: SignedMasked;
}

/**
 * Two vectors under the same masks would give away their difference: this is possible once.
 * @param frame hash and length of the frame (frame.ts), which has been written to disk as it will be sent
 * @throws secagg.spent
 */
export function contribute(
  state: Masking,
  self: Self,
  frame: { readonly sha256: Sha256; readonly bytes: number },
): Round<SignedMasked, Contributed> {
  const { attempt, mesh, participants, transcript } = state;
  assertUnspent(...state.masks.map(({ key }) => key));
  const masked = sign(
    "secagg-masked",
    { context: attempt.context, site: self.site, ...frame },
    self.identity,
  );
  const held = moveHeld(state.held);
  wipe(...state.masks.map(({ key }) => key));
  return {
    broadcast: masked,
    keep: { phase: "contributed", attempt, mesh, participants, transcript, held, masked },
  };
}

/** @throws secagg.spent, before any of them is moved */
export function moveHeld(held: ReadonlyMap<SiteId, HeldShares>): Map<SiteId, HeldShares> {
  for (const shares of held.values()) assertUnspent(shares.self, shares.pair);
  return new Map(
    [...held].map(([dealer, { self, pair }]) => [dealer, { self: moveSecret(self), pair: moveSecret(pair) }]),
  );
}
