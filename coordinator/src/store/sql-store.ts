/** The store on a database that speaks SQL: libsql, or PostgreSQL. */
import {
  auditLineSchema,
  chain,
  EMPTY_CHAIN,
  type AuditEvent,
  type AuditLine,
  type ChainHead,
} from "@consilium/shared/audit/chain";
import type { Json } from "@consilium/shared/canonical";
import { signedSchema } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import {
  federationIdSchema,
  roundSchema,
  attemptSchema,
  sha256Schema,
  siteIdSchema,
  uploadIdSchema,
  type FederationId,
  type UploadId,
} from "@consilium/shared/ids";
import { planSchema } from "@consilium/shared/plan-schema";
import { uploadBeginSchema } from "@consilium/shared/protocol/events";
import { checkpointRecordSchema, contributionHeaderSchema } from "@consilium/shared/protocol/round";
import { signedMaskedSchema } from "@consilium/shared/secagg/messages";
import { z } from "zod";
import { toContribution, toMaskedContribution } from "../federation/ledger.ts";
import type { Contribution } from "../federation/types.ts";
import { jsonColumn, type SqlDatabase, type SqlTransaction, type SqlValue } from "./database.ts";
import {
  readCohort,
  readDistances,
  readFingerprints,
  writeDistances,
  writeFingerprint,
} from "./fingerprints.ts";
import { writeFact } from "./fact-rows.ts";
import { governanceRows } from "./governance-rows.ts";
import { readMaskings } from "./masking-rows.ts";
import { formRoster } from "./roster-rows.ts";
import { roundRow } from "./round-rows.ts";
import type { FederationRow, InvitationRow, SiteRow, Store, UploadRow } from "./store.ts";

const federationRow = z
  .object({
    federation: federationIdSchema,
    plan: jsonColumn(signedSchema(planSchema)),
    plan_hash: sha256Schema,
  })
  .transform(({ federation, plan, plan_hash }): FederationRow => ({ federation, plan, planHash: plan_hash }));

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

/** A masked vector's header says who sent it and how long it is, and no more. */
const headerRow = z.object({
  round: roundSchema,
  attempt: attemptSchema,
  header: jsonColumn(z.union([signedSchema(contributionHeaderSchema), signedMaskedSchema])),
});
const recordRow = z.object({ record: jsonColumn(signedSchema(checkpointRecordSchema)) });
const lineRow = z.object({ line: jsonColumn(auditLineSchema) });
const ownerRow = z.object({ federation: federationIdSchema });
const totalsRow = z.object({ site: siteIdSchema, contributions: z.int(), receivedBytes: z.int() });

const uploadRow = z
  .object({
    upload: uploadIdSchema,
    federation: federationIdSchema,
    site: siteIdSchema,
    object: jsonColumn(uploadBeginSchema.shape.object),
    size_bytes: z.int(),
    chunk_bytes: z.int(),
  })
  .transform(({ size_bytes, chunk_bytes, ...row }): UploadRow => ({
    ...row,
    sizeBytes: size_bytes,
    chunkBytes: chunk_bytes,
  }));

/** A limit that is none, in both dialects. */
const ALL_ROWS = Number.MAX_SAFE_INTEGER;

export function openSqlStore(db: SqlDatabase): Store {
  /** One transaction about a federation. */
  const written = <T>(federation: FederationId, write: (db: SqlTransaction) => Promise<T>): Promise<T> =>
    db.transaction(async (transaction) => {
      await transaction.guard(federation);
      return write(transaction);
    });

  /** One about an upload; false if it is gone. */
  const writtenOf =
    (upload: UploadId, sql: string, parameters: readonly SqlValue[]) =>
    async (transaction: SqlTransaction): Promise<boolean> => {
      const row = await transaction.first(ownerRow, "SELECT federation FROM uploads WHERE upload = ?", [
        upload,
      ]);
      if (row === null) return false;
      await transaction.guard(row.federation);
      await transaction.run(sql, parameters);
      return true;
    };

  return {
    createFederation: ({ federation, plan, planHash }, audit) =>
      db.transaction(async (db) => {
        const values = [federation, json(plan), planHash];
        await db.run("INSERT INTO federations (federation, plan, plan_hash) VALUES (?, ?, ?)", values);
        await append(db, [audit]);
      }),
    federations: () => db.all(federationRow, "SELECT * FROM federations ORDER BY federation"),

    createInvitation: (row, audit) =>
      written(row.federation, async (db) => {
        await db.run(
          "INSERT INTO invitations (secret_hash, federation, site, expires_at_ms, used_at_ms) VALUES (?, ?, ?, ?, ?)",
          [row.secretHash, row.federation, row.site, row.expiresAtMs, row.usedAtMs],
        );
        await append(db, [audit]);
      }),
    invitation: (secretHash) =>
      db.first(invitationRow, "SELECT * FROM invitations WHERE secret_hash = ?", [secretHash]),
    enrol: ({ federation, site, identity, enrolledAtMs }, secretHash, audit) =>
      written(federation, async (db) => {
        const used = await db.run(
          "UPDATE invitations SET used_at_ms = ? WHERE secret_hash = ? AND used_at_ms IS NULL",
          [enrolledAtMs, secretHash],
        );
        if (used !== 1) throw new ConsiliumError("enrolment.token-used", { culprits: [site] });
        const added = await db.run(
          `INSERT INTO sites (federation, site, signing_key, sealing_key, enrolled_at_ms) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (federation, site) DO UPDATE SET
             signing_key = excluded.signing_key, sealing_key = excluded.sealing_key,
             enrolled_at_ms = excluded.enrolled_at_ms, removed_at_ms = NULL
           WHERE sites.removed_at_ms IS NOT NULL`,
          [federation, site, identity.signingKey, identity.sealingKey, enrolledAtMs],
        );
        if (added !== 1) throw new ConsiliumError("enrolment.site-taken", { culprits: [site] });
        await append(db, [audit]);
      }),
    sites: (federation) =>
      db.all(siteRow, "SELECT * FROM sites WHERE federation = ? ORDER BY site", [federation]),

    ...governanceRows(db, written, append),

    commit: (federation, facts, atMs, audit) =>
      written(federation, async (db) => {
        for (const fact of facts) await writeFact(db, federation, fact, atMs);
        await formRoster(db, federation, facts);
        await append(db, audit);
      }),
    rounds: async (federation) => {
      const attempts = await db.all(
        roundRow,
        "SELECT * FROM rounds WHERE federation = ? ORDER BY round, attempt",
        [federation],
      );
      const headers = await db.all(
        headerRow,
        "SELECT round, attempt, header FROM contributions WHERE federation = ? ORDER BY site",
        [federation],
      );
      const byAttempt = new Map<string, Contribution[]>();
      for (const { round, attempt, header } of headers) {
        const key = `${round}/${attempt}`;
        const contribution =
          "context" in header.body ? toMaskedContribution(header.body) : toContribution(header.body);
        byAttempt.set(key, [...(byAttempt.get(key) ?? []), contribution]);
      }
      const maskingOf = await readMaskings(db, federation);
      return attempts.map((row) => ({
        ...row,
        ...maskingOf(row),
        contributions: byAttempt.get(`${row.round}/${row.attempt}`) ?? [],
      }));
    },
    checkpoints: async (federation) => {
      const rows = await db.all(
        recordRow,
        "SELECT record FROM checkpoints WHERE federation = ? ORDER BY round",
        [federation],
      );
      return rows.map(({ record }) => record);
    },
    isCheckpoint: async (sha256, federation) => {
      const rows = await db.all(ownerRow, "SELECT federation FROM checkpoints WHERE sha256 = ?", [sha256]);
      return rows.some((row) => federation === null || row.federation === federation);
    },
    isAverage: async (sha256, federation) => {
      const rows = await db.all(ownerRow, "SELECT federation FROM rounds WHERE average = ?", [sha256]);
      return rows.some((row) => federation === null || row.federation === federation);
    },
    contribution: async (federation, site, round, attempt) => {
      const row = await db.first(
        headerRow,
        "SELECT round, attempt, header FROM contributions WHERE federation = ? AND site = ? AND round = ? AND attempt = ?",
        [federation, site, round, attempt],
      );
      return row?.header ?? null;
    },
    contributionTotals: (federation) =>
      db.all(
        totalsRow,
        `SELECT site, COUNT(*) FILTER (WHERE round > 0) AS contributions,
           CAST(SUM(sealed_bytes) AS BIGINT) AS "receivedBytes"
         FROM contributions WHERE federation = ? GROUP BY site ORDER BY site`,
        [federation],
      ),

    putFingerprint: (row, audit) =>
      written(row.federation, async (db) => {
        await writeFingerprint(db, row);
        await append(db, [audit]);
      }),
    fingerprints: (federation) => readFingerprints(db, federation),
    cohort: (federation) => readCohort(db, federation),
    putDistances: (row, audit) =>
      written(row.federation, async (db) => {
        await writeDistances(db, row);
        await append(db, [audit]);
      }),
    distances: (federation) => readDistances(db, federation),

    createUpload: (row) => written(row.federation, (db) => insertUpload(db, row)),
    uploadsOf: (federation, site) =>
      db.all(uploadRow, "SELECT * FROM uploads WHERE federation = ? AND site = ? ORDER BY upload", [
        federation,
        site,
      ]),
    uploads: () => db.all(uploadRow, "SELECT * FROM uploads ORDER BY upload"),
    upload: (upload) => db.first(uploadRow, "SELECT * FROM uploads WHERE upload = ?", [upload]),
    addChunk: async (upload, seq) => {
      const sql = "INSERT INTO upload_chunks (upload, seq) VALUES (?, ?) ON CONFLICT DO NOTHING";
      if (!(await db.note(writtenOf(upload, sql, [upload, seq])))) throw new ConsiliumError("upload.unknown");
    },
    chunks: async (upload) => {
      const sql = "SELECT seq FROM upload_chunks WHERE upload = ? ORDER BY seq";
      return (await db.all(z.object({ seq: z.int() }), sql, [upload])).map(({ seq }) => seq);
    },
    recutUpload: (row, have) =>
      written(row.federation, async (db) => {
        await db.run("DELETE FROM uploads WHERE upload = ?", [row.upload]);
        await insertUpload(db, row);
        for (const seq of have)
          await db.run("INSERT INTO upload_chunks (upload, seq) VALUES (?, ?)", [row.upload, seq]);
      }),
    removeUpload: async (upload) => {
      await db.transaction(writtenOf(upload, "DELETE FROM uploads WHERE upload = ?", [upload]));
    },

    auditAfter: async (seq, limit) => {
      const sql = "SELECT line FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";
      const rows = await db.all(lineRow, sql, [seq, limit ?? ALL_ROWS]);
      return rows.map(({ line }) => line);
    },

    close: () => db.close(),
  };
}

async function insertUpload(db: SqlTransaction, row: UploadRow): Promise<void> {
  await db.run(
    "INSERT INTO uploads (upload, federation, site, object, size_bytes, chunk_bytes) VALUES (?, ?, ?, ?, ?, ?)",
    [row.upload, row.federation, row.site, json(row.object), row.sizeBytes, row.chunkBytes],
  );
}

/** Lines have their place in one chain, whichever federation they are about. */
async function append(db: SqlTransaction, events: readonly AuditEvent[]): Promise<readonly AuditLine[]> {
  if (events.length === 0) return [];
  await db.alone();
  const last = await db.first(lineRow, "SELECT line FROM audit ORDER BY seq DESC LIMIT 1");
  let head: ChainHead = last?.line ?? EMPTY_CHAIN;
  const lines: AuditLine[] = [];
  for (const event of events) {
    const line = chain(head, event);
    await db.run("INSERT INTO audit (seq, line) VALUES (?, ?)", [line.seq, JSON.stringify(line)]);
    lines.push(line);
    head = line;
  }
  return lines;
}

const json = (value: Json | object): string => JSON.stringify(value);
