/** The part of the store that is about the roster and the audit log. */
import { auditLineSchema, type AuditEvent, type AuditLine } from "@consilium/shared/audit/chain";
import { federationIdSchema, type FederationId } from "@consilium/shared/ids";
import { z } from "zod";
import { jsonColumn, type SqlDatabase, type SqlTransaction } from "./database.ts";
import {
  markRemoved,
  readEndorsements,
  readRosterChanges,
  writeEndorsement,
  writeRosterChange,
} from "./roster-rows.ts";
import type { Store } from "./store.ts";

const lineRow = z.object({ line: jsonColumn(auditLineSchema) });

type GovernanceRows = Pick<
  Store,
  "changeRoster" | "rosterChanges" | "removeSite" | "endorse" | "endorsements" | "addAudit" | "newestAudit"
>;

/** @param append adds to the audit log, inside a transaction */
export function governanceRows(
  db: SqlDatabase,
  written: <T>(federation: FederationId, write: (db: SqlTransaction) => Promise<T>) => Promise<T>,
  append: (db: SqlTransaction, events: readonly AuditEvent[]) => Promise<readonly AuditLine[]>,
): GovernanceRows {
  return {
    changeRoster: (federation, change, atMs, audit) =>
      written(federation, async (db) => {
        await writeRosterChange(db, federation, change);
        if (change.change === "removed") await markRemoved(db, federation, change.site, atMs);
        await append(db, audit);
      }),
    rosterChanges: (federation) => readRosterChanges(db, federation),
    removeSite: (federation, site, atMs, audit) =>
      written(federation, async (db) => {
        await markRemoved(db, federation, site, atMs);
        await append(db, [audit]);
      }),
    endorse: (federation, signed, audit) =>
      written(federation, async (db) => {
        await writeEndorsement(db, federation, signed);
        await append(db, [audit]);
      }),
    endorsements: (federation) => readEndorsements(db, federation),

    addAudit: (event) =>
      written(federationIdSchema.parse(event.federation), async (db) => {
        const [line] = await append(db, [event]);
        if (line === undefined) throw new Error("an event makes a line");
        return line;
      }),
    newestAudit: async (federation, event, atMost) => {
      const rows = await db.all(
        lineRow,
        `SELECT line FROM audit WHERE line ->> 'federation' = ? AND line ->> 'event' = ?
         ORDER BY seq DESC LIMIT ?`,
        [federation, event, atMost],
      );
      return rows.map(({ line }) => line);
    },
  };
}
