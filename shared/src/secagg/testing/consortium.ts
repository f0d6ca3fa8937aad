/** A federation of sites with fixed keys, for tests: each round for all sites that are still there. */
import { createHash } from "node:crypto";
import { sha256 } from "../../canonical.ts";
import { identityFromSecrets, type RandomBytes } from "../../crypto/identity.ts";
import { siteIdSchema, type SiteId } from "../../ids.ts";
import { roundOpeningSchema } from "../../protocol/round.ts";
import { openAttempt, type Attempt, type Roster, type Self } from "../attempt.ts";
import { maskedBlocks, type PrivateValues } from "../encode.ts";
import { maskedFrameBytes, maskedHeader } from "../frame.ts";
import { geometryOf, type VectorLayout } from "../layout.ts";
import type { MaskTerm } from "../masks.ts";
import type { SignedMasked } from "../messages.ts";
import type { Round } from "../round.ts";
import { required } from "../required.ts";
import { contribute, type Contributed } from "../site/contribute.ts";
import type { Masking } from "../site/mask.ts";

/** SHA-256 in counter mode: the same bytes for the same seed. */
export function fixedRandom(seed: string): RandomBytes {
  let counter = 0;
  return (length) => {
    const bytes: Buffer[] = [];
    for (let have = 0; have < length; have += 32) {
      bytes.push(createHash("sha256").update(`${seed} ${counter++}`).digest());
    }
    return Uint8Array.from(Buffer.concat(bytes).subarray(0, length));
  };
}

const known = new Map<string, Self>();

/** A site with the same keys whenever it is asked for. */
export function member(site: string): Self {
  const found = known.get(site);
  if (found !== undefined) return found;
  const random = fixedRandom(`identity of ${site}`);
  const self = { site: siteIdSchema.parse(site), identity: identityFromSecrets(random(32), random(32)) };
  known.set(site, self);
  return self;
}

export interface Consortium {
  readonly members: ReadonlyMap<SiteId, Self>;
  readonly roster: Roster;
  readonly layout: VectorLayout;
  readonly attempt: Attempt;
}

export function openingOf(sites: readonly string[], { round = 3, attempt = 1 } = {}) {
  return roundOpeningSchema.parse({
    federation: "lungs",
    round,
    attempt,
    base: sha256("base"),
    planHash: sha256("plan"),
    cohort: sites,
  });
}

export const siteNames = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `site-${String(i).padStart(3, "0")}`);

export function consortium(
  layout: VectorLayout,
  which: { round?: number; attempt?: number } = {},
): Consortium {
  const selves = siteNames(layout.sites).map(member);
  const roster = selves.map(({ site, identity }) => ({ site, identity: identity.public }));
  const opening = openingOf(siteNames(layout.sites), which);
  return {
    members: new Map(selves.map((self) => [self.site, self])),
    roster,
    layout,
    attempt: openAttempt(opening, roster, layout),
  };
}

/** One round at all sites that have a state. */
export function atSites<In, Message, Out>(
  { members }: Consortium,
  states: ReadonlyMap<SiteId, In>,
  step: (state: In, self: Self) => { readonly broadcast?: Message; readonly keep: Out },
): { messages: Message[]; states: Map<SiteId, Out> } {
  const messages: Message[] = [];
  const next = new Map<SiteId, Out>();
  for (const [site, state] of states) {
    const { broadcast, keep } = step(state, required(members.get(site)));
    if (broadcast !== undefined) messages.push(broadcast);
    next.set(site, keep);
  }
  return { messages, states: next };
}

export function without<T>(map: ReadonlyMap<SiteId, T>, gone: ReadonlySet<string>): Map<SiteId, T> {
  return new Map([...map].filter(([site]) => !gone.has(site)));
}

/** The whole vector under these masks. */
export function wholeVector(
  layout: VectorLayout,
  values: PrivateValues,
  masks: readonly MaskTerm[],
): Uint8Array {
  const vector = new Uint8Array(geometryOf(layout).totalBytes);
  for (const { offset, bytes } of maskedBlocks(layout, values, masks, 64)) vector.set(bytes, offset);
  return vector;
}

/** What the site driver will do with a file: writes the frame, hashes it, stands for it. */
export function writeVector(
  state: Masking,
  self: Self,
  layout: VectorLayout,
  values: PrivateValues,
): Round<SignedMasked, Contributed> & { readonly vector: Uint8Array } {
  const vector = wholeVector(layout, values, state.masks);
  const frame = {
    sha256: sha256(maskedHeader(state.attempt, layout), vector),
    bytes: maskedFrameBytes(layout),
  };
  return { ...contribute(state, self, frame), vector };
}
