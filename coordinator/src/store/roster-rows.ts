/** The rows of a roster's versions, and of the signatures that newcomers wait for. */
import { siteIdSchema, type FederationId, type SiteId } from "@consilium/shared/ids";
import { publicIdentitySchema } from "@consilium/shared/crypto/signed";
import {
  rosterChangeSchema,
  signedEndorsementSchema,
  type RosterChange,
  type SignedEndorsement,
} from "@consilium/shared/roster/roster";
import { z } from "zod";
import type { Fact } from "../federation/types.ts";
import { jsonColumn, type SqlReader, type SqlTransaction } from "./database.ts";

const changeRow = z.object({ change: jsonColumn(rosterChangeSchema) });
const endorsementRow = z.object({ signed: jsonColumn(signedEndorsementSchema) });
const memberRow = z.object({ site: siteIdSchema, signing_key: z.string(), sealing_key: z.string() });

/** Ordered by version. */
export async function readRosterChanges(
  db: SqlReader,
  federation: FederationId,
): Promise<readonly RosterChange[]> {
  const sql = "SELECT change FROM roster_changes WHERE federation = ? ORDER BY version";
  return (await db.all(changeRow, sql, [federation])).map(({ change }) => change);
}

/** Inside a transaction. */
export async function writeRosterChange(
  db: SqlTransaction,
  federation: FederationId,
  change: RosterChange,
): Promise<void> {
  const values = [federation, change.version, JSON.stringify(change)];
  await db.run("INSERT INTO roster_changes (federation, version, change) VALUES (?, ?, ?)", values);
  // They were for the version before and serve nobody any more.
  await db.run("DELETE FROM endorsements WHERE federation = ?", [federation]);
}

/** Inside the transaction that opens the first round: whoever is enrolled then is on the first roster. */
export async function formRoster(
  db: SqlTransaction,
  federation: FederationId,
  facts: readonly Fact[],
): Promise<void> {
  if (!facts.some(({ fact }) => fact === "round.opened")) return;
  if ((await readRosterChanges(db, federation)).length > 0) return;
  const opened = facts.find((fact) => fact.fact === "masking.opened");
  const sql = "SELECT * FROM sites WHERE federation = ? AND removed_at_ms IS NULL ORDER BY site";
  const members = (await db.all(memberRow, sql, [federation]))
    .filter(({ site }) => opened === undefined || opened.roster.includes(site))
    .map(({ site, signing_key, sealing_key }) => ({
      site,
      identity: publicIdentitySchema.parse({ signingKey: signing_key, sealingKey: sealing_key }),
    }));
  await writeRosterChange(db, federation, { change: "formed", version: 1, members });
}

/** Inside a transaction. */
export async function markRemoved(
  db: SqlTransaction,
  federation: FederationId,
  site: SiteId,
  atMs: number,
): Promise<void> {
  await db.run("UPDATE sites SET removed_at_ms = ? WHERE federation = ? AND site = ?", [
    atMs,
    federation,
    site,
  ]);
}

/** Inside a transaction. A site's newer signature takes the place of its older one. */
export async function writeEndorsement(
  db: SqlTransaction,
  federation: FederationId,
  signed: SignedEndorsement,
): Promise<void> {
  const { site, endorser } = signed.body;
  await db.run(
    `INSERT INTO endorsements (federation, site, endorser, signed) VALUES (?, ?, ?, ?)
     ON CONFLICT (federation, site, endorser) DO UPDATE SET signed = excluded.signed`,
    [federation, site, endorser, JSON.stringify(signed)],
  );
}

/** Ordered by site and endorser. */
export async function readEndorsements(
  db: SqlReader,
  federation: FederationId,
): Promise<readonly SignedEndorsement[]> {
  const sql = "SELECT signed FROM endorsements WHERE federation = ? ORDER BY site, endorser";
  return (await db.all(endorsementRow, sql, [federation])).map(({ signed }) => signed);
}
