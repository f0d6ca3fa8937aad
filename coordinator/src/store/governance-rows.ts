/** The part of the store that is about the roster and the audit log. */
import { auditLineSchema, type AuditEvent, type AuditLine } from "@consilium/shared/audit/chain";
import { z } from "zod";
import { jsonColumn, type SqlDatabase } from "./database.ts";
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

export function governanceRows({
  db,
  append,
  written,
  read,
}: {
  readonly db: SqlDatabase;
  /** Adds to the audit log, inside a transaction. */
  readonly append: (events: readonly AuditEvent[]) => readonly AuditLine[];
  readonly written: <T>(write: () => T) => Promise<T>;
  readonly read: <T>(query: () => T) => Promise<T>;
}): GovernanceRows {
  return {
    changeRoster: (federation, change, atMs, audit) =>
      written(() => {
        writeRosterChange(db, federation, change);
        if (change.change === "removed") markRemoved(db, federation, change.site, atMs);
        append(audit);
      }),
    rosterChanges: (federation) => read(() => readRosterChanges(db, federation)),
    removeSite: (federation, site, atMs, audit) =>
      written(() => {
        markRemoved(db, federation, site, atMs);
        append([audit]);
      }),
    endorse: (federation, signed, audit) =>
      written(() => {
        writeEndorsement(db, federation, signed);
        append([audit]);
      }),
    endorsements: (federation) => read(() => readEndorsements(db, federation)),

    addAudit: (event) =>
      written(() => {
        const [line] = append([event]);
        if (line === undefined) throw new Error("an event makes a line");
        return line;
      }),
    newestAudit: (federation, event, atMost) =>
      read(() =>
        db
          .all(
            lineRow,
            `SELECT line FROM audit WHERE line ->> 'federation' = ? AND line ->> 'event' = ?
             ORDER BY seq DESC LIMIT ?`,
            [federation, event, atMost],
          )
          .map(({ line }) => line),
      ),
  };
}
