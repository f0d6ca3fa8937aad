/**
 * Who is on the roster, and who says so. A roster has versions. The first is what was enrolled when training began, and each
 * site pins it as it sees it. A site is added only with the signatures of most of those who are on it; each site checks
 * them against its own pinned keys, so that the coordinator alone cannot add anybody.
 */
import { z } from "zod";
import { verify } from "../crypto/identity.ts";
import { publicIdentitySchema, signedSchema, type PublicIdentity } from "../crypto/signed.ts";
import { ConsiliumError } from "../errors.ts";
import { federationIdSchema, sha256Schema, siteIdSchema, type FederationId, type SiteId } from "../ids.ts";
import { rosterHash, rosterSchema, type Roster } from "../secagg/attempt.ts";

const versionSchema = z.int().min(1);

/** Signed by a site that is on the roster (`roster-endorsement`), once a person there has compared fingerprints. */
export const endorsementSchema = z.strictObject({
  federation: federationIdSchema,
  endorser: siteIdSchema,
  /** The roster that the newcomer is added to: an endorsement serves once. */
  version: versionSchema,
  roster: sha256Schema,
  site: siteIdSchema,
  identity: publicIdentitySchema,
});
export type Endorsement = z.infer<typeof endorsementSchema>;
export const signedEndorsementSchema = signedSchema(endorsementSchema);
export type SignedEndorsement = z.infer<typeof signedEndorsementSchema>;

/** What made a version of the one before it. */
export const rosterChangeSchema = z.discriminatedUnion("change", [
  z.strictObject({ change: z.literal("formed"), version: z.literal(1), members: rosterSchema }),
  z.strictObject({
    change: z.literal("added"),
    version: versionSchema,
    site: siteIdSchema,
    identity: publicIdentitySchema,
    endorsements: z.array(signedEndorsementSchema).max(10_000).readonly(),
  }),
  z.strictObject({ change: z.literal("removed"), version: versionSchema, site: siteIdSchema }),
]);
export type RosterChange = z.infer<typeof rosterChangeSchema>;

export interface VersionedRoster {
  readonly federation: FederationId;
  readonly version: number;
  readonly members: Roster;
}

/** Signatures that it takes to add a site: of most of those present. */
export const endorsementsNeeded = (members: number): number => Math.floor(members / 2) + 1;

/** What a site of this roster signs to have another on it. */
export function endorsementOf(
  { federation, version, members }: VersionedRoster,
  endorser: SiteId,
  { site, identity }: { readonly site: SiteId; readonly identity: PublicIdentity },
): Endorsement {
  return { federation, endorser, version, roster: rosterHash(members), site, identity };
}

/**
 * Whether this is a member's endorsement of that site, for exactly this roster.
 * @throws roster.not-endorsed, crypto.bad-signature, each naming the endorser
 */
export function assertEndorsement(
  roster: VersionedRoster,
  candidate: { readonly site: SiteId; readonly identity: PublicIdentity },
  signed: SignedEndorsement,
): void {
  const { body } = signed;
  const endorser = roster.members.find(({ site }) => site === body.endorser);
  const refused = new ConsiliumError("roster.not-endorsed", { culprits: [body.endorser] });
  if (endorser === undefined) throw refused;
  const expected = endorsementOf(roster, body.endorser, candidate);
  const same =
    expected.federation === body.federation &&
    expected.version === body.version &&
    expected.roster === body.roster &&
    expected.site === body.site &&
    sameKeys(expected.identity, body.identity);
  if (!same) throw refused;
  try {
    verify("roster-endorsement", signed, endorser.identity);
  } catch (cause) {
    throw new ConsiliumError("crypto.bad-signature", { culprits: [body.endorser], cause });
  }
}

/**
 * The next version.
 * @throws roster.not-endorsed unless most of the present members have signed for a site that is added;
 *   protocol.invalid-message for a change that does not follow
 */
export function applyChange(roster: VersionedRoster, change: RosterChange): VersionedRoster {
  const { federation, version, members } = roster;
  if (change.change === "formed" || change.version !== version + 1) throw notNext();
  const others = members.filter(({ site }) => site !== change.site);
  if (change.change === "removed") {
    if (others.length === members.length) throw notNext();
    return { federation, version: change.version, members: others };
  }
  if (others.length < members.length) throw notNext();
  const { site, identity, endorsements } = change;
  for (const signed of endorsements) assertEndorsement(roster, { site, identity }, signed);
  const endorsers = new Set(endorsements.map(({ body }) => body.endorser));
  const needed = endorsementsNeeded(members.length);
  if (endorsers.size < needed) {
    throw new ConsiliumError("roster.not-endorsed", {
      detail: `(${endorsers.size} of ${needed} signatures)`,
      culprits: [site],
    });
  }
  return { federation, version: change.version, members: [...others, { site, identity }] };
}

/** From a version to another, change by change. @throws what applyChange throws */
export function followChanges(
  from: VersionedRoster,
  changes: readonly RosterChange[],
  version: number,
): VersionedRoster {
  return changes
    .filter((change) => change.version > from.version && change.version <= version)
    .sort((a, b) => a.version - b.version)
    .reduce(applyChange, from);
}

export function sameKeys(a: PublicIdentity, b: PublicIdentity): boolean {
  return a.signingKey === b.signingKey && a.sealingKey === b.sealingKey;
}

const notNext = (): ConsiliumError =>
  new ConsiliumError("protocol.invalid-message", { detail: "(a change of the roster that does not follow)" });
