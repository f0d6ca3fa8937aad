/** Rows of what the sites' images are like: each fingerprint of a plain federation; the sum and the distances of a masked one. */
import { signedSchema } from "@consilium/shared/crypto/signed";
import { siteIdSchema, type FederationId } from "@consilium/shared/ids";
import {
  cohortRecordSchema,
  fingerprintHeaderSchema,
  signedDistancesSchema,
} from "@consilium/shared/protocol/fingerprint";
import { z } from "zod";
import type { CohortFact } from "../federation/types.ts";
import { jsonColumn, type SqlReader, type SqlTransaction } from "./database.ts";
import { writeMasking } from "./masking-rows.ts";
import type { CohortRow, DistancesRow, FingerprintRow } from "./store.ts";

const fingerprintRow = z.object({
  site: siteIdSchema,
  header: jsonColumn(signedSchema(fingerprintHeaderSchema)),
  sealed: z.string(),
  received_at_ms: z.int(),
});

const cohortRow = z.object({
  record: jsonColumn(signedSchema(cohortRecordSchema)).nullable(),
  given_up: z.string().nullable(),
});

const distancesRow = z.object({
  site: siteIdSchema,
  message: jsonColumn(signedDistancesSchema),
  received_at_ms: z.int(),
});

/** Inside a transaction. Takes the place of an older one of the site. */
export async function writeFingerprint(db: SqlTransaction, row: FingerprintRow): Promise<void> {
  const { federation, site, message, receivedAtMs } = row;
  await db.run(
    `INSERT INTO fingerprints (federation, site, header, sealed, received_at_ms) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (federation, site) DO UPDATE SET
       header = excluded.header, sealed = excluded.sealed, received_at_ms = excluded.received_at_ms`,
    [federation, site, JSON.stringify(message.header), message.sealed, receivedAtMs],
  );
}

/** Ordered by site. */
export async function readFingerprints(
  db: SqlReader,
  federation: FederationId,
): Promise<readonly FingerprintRow[]> {
  const sql = "SELECT * FROM fingerprints WHERE federation = ? ORDER BY site";
  return (await db.all(fingerprintRow, sql, [federation])).map(
    ({ site, header, sealed, received_at_ms }) => ({
      federation,
      site,
      message: { header, sealed },
      receivedAtMs: received_at_ms,
    }),
  );
}

/** Inside a transaction. */
export async function writeCohort(
  db: SqlTransaction,
  federation: FederationId,
  fact: CohortFact,
  atMs: number,
): Promise<void> {
  const insert = "INSERT INTO cohorts (federation, record, given_up) VALUES (?, ?, ?)";
  if (fact.fact === "cohort.given-up") {
    await db.run(insert, [federation, null, fact.reason]);
    return;
  }
  await db.run(insert, [federation, JSON.stringify(fact.record), null]);
  await db.run(
    "UPDATE rounds SET outcome = 'aggregated', closed_at_ms = ? WHERE federation = ? AND round = ? AND attempt = ?",
    [atMs, federation, fact.round, fact.attempt],
  );
  await writeMasking(db, federation, fact);
}

export async function readCohort(db: SqlReader, federation: FederationId): Promise<CohortRow | null> {
  const row = await db.first(cohortRow, "SELECT record, given_up FROM cohorts WHERE federation = ?", [
    federation,
  ]);
  return row === null ? null : { record: row.record, givenUp: row.given_up };
}

/** Inside a transaction. Takes the place of older ones of the site. */
export async function writeDistances(db: SqlTransaction, row: DistancesRow): Promise<void> {
  const { federation, site, message, receivedAtMs } = row;
  await db.run(
    `INSERT INTO image_distances (federation, site, message, received_at_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (federation, site) DO UPDATE SET
       message = excluded.message, received_at_ms = excluded.received_at_ms`,
    [federation, site, JSON.stringify(message), receivedAtMs],
  );
}

/** Ordered by site. */
export async function readDistances(
  db: SqlReader,
  federation: FederationId,
): Promise<readonly DistancesRow[]> {
  const sql = "SELECT * FROM image_distances WHERE federation = ? ORDER BY site";
  return (await db.all(distancesRow, sql, [federation])).map(({ site, message, received_at_ms }) => ({
    federation,
    site,
    message,
    receivedAtMs: received_at_ms,
  }));
}
