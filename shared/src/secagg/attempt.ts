/**
 * What the sites of an attempt agree on before they begin, and its name: the context, a hash over all of it that is in
 * every signature and every derived key. Nothing from another attempt, plan, base, layout or roster fits.
 */
import { z } from "zod";
import { canonicalJson, sha256 } from "../canonical.ts";
import { verify, type Identity, type SignedKind } from "../crypto/identity.ts";
import { publicIdentitySchema, type PublicIdentity, type Signed } from "../crypto/signed.ts";
import { ConsiliumError } from "../errors.ts";
import { sha256Schema, siteIdSchema, type Sha256, type SiteId } from "../ids.ts";
import { roundOpeningSchema, type RoundOpening } from "../protocol/round.ts";
import { layoutHash, type VectorLayout } from "./layout.ts";
import { MIN_SURVIVORS, thresholdOf } from "./threshold.ts";

/** The sites of a federation and their long-term keys, as each site has pinned them. */
export const rosterSchema = z
  .array(z.strictObject({ site: siteIdSchema, identity: publicIdentitySchema }))
  .max(10_000)
  .refine(
    (members) => new Set(members.map(({ site }) => site)).size === members.length,
    "a site occurs twice",
  )
  .readonly();
export type Roster = z.infer<typeof rosterSchema>;

export const attemptTermsSchema = z.strictObject({
  ...roundOpeningSchema.shape,
  /** Hash of the whole roster, not only of the cohort. */
  roster: sha256Schema,
  /** Hash of the vector's layout: ranges, ring, number of sites. */
  layout: sha256Schema,
  threshold: z.int().min(2),
});
export type AttemptTerms = z.infer<typeof attemptTermsSchema>;

/** Plain data, like all states of a round: it can be cloned, stored and sent to a thread. */
export interface Attempt {
  readonly terms: AttemptTerms;
  /** SHA-256 of `consilium/1 secagg\n` + canonical JSON of the terms. */
  readonly context: Sha256;
  /** The cohort in the order of the sites' names, with keys from the pinned roster. */
  readonly members: ReadonlyMap<SiteId, PublicIdentity>;
  /** Fewest sites of a group, as the layout says; absent where there is one sum. */
  readonly groupSites?: number;
}

/** Who takes part with which long-term keys. */
export interface Self {
  readonly site: SiteId;
  readonly identity: Identity;
}

export function rosterHash(roster: Roster): Sha256 {
  const members = roster.map(({ site, identity }) => ({ site, identity: { ...identity } }));
  return sha256(canonicalJson(members.sort((a, b) => compareSites(a.site, b.site))));
}

/**
 * @throws secagg.too-few-sites for a cohort below three
 * @throws site.unknown if a site of the cohort is not on the roster
 * @throws protocol.invalid-message if a site is in the cohort twice or the layout is made for another number of sites
 */
export function openAttempt(opening: RoundOpening, roster: Roster, layout: VectorLayout): Attempt {
  const cohort = opening.cohort.toSorted(compareSites);
  if (cohort.length < MIN_SURVIVORS) throw tooFew(cohort.length, MIN_SURVIVORS);
  if (new Set(cohort).size !== cohort.length) {
    throw new ConsiliumError("protocol.invalid-message", { detail: "(a site is in the cohort twice)" });
  }
  if (layout.sites !== cohort.length) {
    throw new ConsiliumError("protocol.invalid-message", {
      detail: `(a layout for ${layout.sites} sites in a cohort of ${cohort.length})`,
    });
  }
  const keys = new Map(roster.map(({ site, identity }) => [site, identity]));
  const members = new Map(
    cohort.map((site) => {
      const identity = keys.get(site);
      if (identity === undefined) throw new ConsiliumError("site.unknown", { culprits: [site] });
      return [site, identity];
    }),
  );
  const terms: AttemptTerms = {
    ...opening,
    cohort,
    roster: rosterHash(roster),
    layout: layoutHash(layout),
    threshold: thresholdOf(cohort.length),
  };
  const context = sha256("consilium/1 secagg\n", canonicalJson({ ...terms }));
  const { groupSites } = layout;
  return { terms, context, members, ...(groupSites === undefined ? {} : { groupSites }) };
}

/** The body, once it is known to come from that member of this very attempt.
 * @throws secagg.other-attempt, site.unknown, crypto.bad-signature, each naming the site */
export function verifyMember<T extends { readonly context: Sha256; readonly site: SiteId }>(
  attempt: Attempt,
  kind: SignedKind,
  signed: Signed<T>,
): T {
  const { context, site } = signed.body;
  if (context !== attempt.context) throw new ConsiliumError("secagg.other-attempt", { culprits: [site] });
  const identity = attempt.members.get(site);
  if (identity === undefined) throw new ConsiliumError("site.unknown", { culprits: [site] });
  try {
    return verify(kind, signed, identity);
  } catch (cause) {
    throw new ConsiliumError("crypto.bad-signature", { culprits: [site], cause });
  }
}

/** @throws secagg.other-attempt */
export function assertContext(attempt: Attempt, context: Sha256): void {
  if (context !== attempt.context) throw new ConsiliumError("secagg.other-attempt");
}

export function tooFew(have: number, need: number, culprits: readonly string[] = []): ConsiliumError {
  return new ConsiliumError("secagg.too-few-sites", { detail: `(${have} of at least ${need})`, culprits });
}

/** By UTF-16 code units; names are ASCII. */
export function compareSites(a: SiteId, b: SiteId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
