/** The rows of sites' fingerprints. */
import { signedSchema } from "@consilium/shared/crypto/signed";
import { siteIdSchema, type FederationId } from "@consilium/shared/ids";
import { fingerprintHeaderSchema } from "@consilium/shared/protocol/fingerprint";
import { z } from "zod";
import { jsonColumn, type SqlDatabase } from "./database.ts";
import type { FingerprintRow } from "./store.ts";

const fingerprintRow = z.object({
  site: siteIdSchema,
  header: jsonColumn(signedSchema(fingerprintHeaderSchema)),
  sealed: z.string(),
  received_at_ms: z.int(),
});

/** Inside a transaction. Takes the place of an older one of the site. */
export function writeFingerprint(db: SqlDatabase, row: FingerprintRow): void {
  const { federation, site, message, receivedAtMs } = row;
  db.run(
    `INSERT INTO fingerprints (federation, site, header, sealed, received_at_ms) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (federation, site) DO UPDATE SET
       header = excluded.header, sealed = excluded.sealed, received_at_ms = excluded.received_at_ms`,
    [federation, site, JSON.stringify(message.header), message.sealed, receivedAtMs],
  );
}

/** Ordered by site. */
export function readFingerprints(db: SqlDatabase, federation: FederationId): readonly FingerprintRow[] {
  return db
    .all(fingerprintRow, "SELECT * FROM fingerprints WHERE federation = ? ORDER BY site", [federation])
    .map(({ site, header, sealed, received_at_ms }) => ({
      federation,
      site,
      message: { header, sealed },
      receivedAtMs: received_at_ms,
    }));
}
