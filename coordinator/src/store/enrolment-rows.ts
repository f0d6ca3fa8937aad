/** The part of the store that is about invitations and sites. */
import type { AuditEvent } from "@consilium/shared/audit/chain";
import { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, sha256Schema, siteIdSchema } from "@consilium/shared/ids";
import { z } from "zod";
import type { SqlDatabase } from "./database.ts";
import type { InvitationRow, SiteRow, Store } from "./store.ts";

const invitationRow = z
  .object({
    secret_hash: sha256Schema,
    federation: federationIdSchema,
    site: siteIdSchema,
    expires_at_ms: z.int(),
    used_at_ms: z.int().nullable(),
  })
  .transform((row): InvitationRow => ({
    secretHash: row.secret_hash,
    federation: row.federation,
    site: row.site,
    expiresAtMs: row.expires_at_ms,
    usedAtMs: row.used_at_ms,
  }));

const siteRow = z
  .object({
    federation: federationIdSchema,
    site: siteIdSchema,
    signing_key: z.string(),
    sealing_key: z.string(),
    enrolled_at_ms: z.int(),
    removed_at_ms: z.int().nullable(),
  })
  .transform((row): SiteRow => ({
    federation: row.federation,
    site: row.site,
    identity: { signingKey: row.signing_key, sealingKey: row.sealing_key },
    enrolledAtMs: row.enrolled_at_ms,
    removedAtMs: row.removed_at_ms,
  }));

export function enrolmentRows({
  db,
  append,
  written,
  read,
}: {
  readonly db: SqlDatabase;
  /** Adds to the audit log, inside a transaction. */
  readonly append: (events: readonly AuditEvent[]) => unknown;
  readonly written: <T>(write: () => T) => Promise<T>;
  readonly read: <T>(query: () => T) => Promise<T>;
}): Pick<Store, "createInvitation" | "invitation" | "enrol" | "sites"> {
  return {
    createInvitation: (row, audit) =>
      written(() => {
        db.run(
          "INSERT INTO invitations (secret_hash, federation, site, expires_at_ms, used_at_ms) VALUES (?, ?, ?, ?, ?)",
          [row.secretHash, row.federation, row.site, row.expiresAtMs, row.usedAtMs],
        );
        append([audit]);
      }),
    invitation: (secretHash) =>
      read(() => db.first(invitationRow, "SELECT * FROM invitations WHERE secret_hash = ?", [secretHash])),
    enrol: ({ federation, site, identity, enrolledAtMs }, secretHash, audit) =>
      written(() => {
        const used = db.run(
          "UPDATE invitations SET used_at_ms = ? WHERE secret_hash = ? AND used_at_ms IS NULL",
          [enrolledAtMs, secretHash],
        );
        if (used !== 1) throw new ConsiliumError("enrolment.token-used", { culprits: [site] });
        const added = db.run(
          `INSERT INTO sites (federation, site, signing_key, sealing_key, enrolled_at_ms) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (federation, site) DO UPDATE SET
             signing_key = excluded.signing_key, sealing_key = excluded.sealing_key,
             enrolled_at_ms = excluded.enrolled_at_ms, removed_at_ms = NULL
           WHERE removed_at_ms IS NOT NULL`,
          [federation, site, identity.signingKey, identity.sealingKey, enrolledAtMs],
        );
        if (added !== 1) throw new ConsiliumError("enrolment.site-taken", { culprits: [site] });
        append([audit]);
      }),
    sites: (federation) =>
      read(() => db.all(siteRow, "SELECT * FROM sites WHERE federation = ? ORDER BY site", [federation])),
  };
}
