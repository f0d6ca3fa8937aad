/** The store on libsql: one file, one connection, so that transactions never meet. */
import {
  auditLineSchema,
  chain,
  EMPTY_CHAIN,
  type AuditEvent,
  type AuditLine,
  type ChainHead,
} from "@consilium/shared/audit/chain";
import type { Json } from "@consilium/shared/canonical";
import { chunkRows } from "./chunk-rows.ts";
import { signedSchema } from "@consilium/shared/crypto/signed";
import {
  federationIdSchema,
  roundSchema,
  attemptSchema,
  sha256Schema,
  siteIdSchema,
  uploadIdSchema,
  type FederationId,
} from "@consilium/shared/ids";
import { planSchema } from "@consilium/shared/plan-schema";
import { uploadBeginSchema } from "@consilium/shared/protocol/events";
import { checkpointRecordSchema, contributionHeaderSchema } from "@consilium/shared/protocol/round";
import { signedMaskedSchema } from "@consilium/shared/secagg/messages";
import { z } from "zod";
import { toContribution, toMaskedContribution } from "../federation/ledger.ts";
import type { Contribution, Fact } from "../federation/types.ts";
import { jsonColumn, SqlDatabase } from "./database.ts";
import {
  readCohort,
  readDistances,
  readFingerprints,
  writeCohort,
  writeDistances,
  writeFingerprint,
} from "./fingerprints.ts";
import { dropVector, readMaskings, writeMasking } from "./masking-rows.ts";
import { enrolmentRows } from "./enrolment-rows.ts";
import { roundRow } from "./round-rows.ts";
import { governanceRows } from "./governance-rows.ts";
import { formRoster } from "./roster-rows.ts";
import { writeTrial } from "./trial-rows.ts";
import type { FederationRow, Store, UploadRow } from "./store.ts";

const federationRow = z
  .object({
    federation: federationIdSchema,
    plan: jsonColumn(signedSchema(planSchema)),
    plan_hash: sha256Schema,
  })
  .transform(({ federation, plan, plan_hash }): FederationRow => ({ federation, plan, planHash: plan_hash }));

/** A masked vector's header says who sent it and how long it is, and no more. */
const headerRow = z.object({
  round: roundSchema,
  attempt: attemptSchema,
  header: jsonColumn(z.union([signedSchema(contributionHeaderSchema), signedMaskedSchema])),
});
const recordRow = z.object({ record: jsonColumn(signedSchema(checkpointRecordSchema)) });
const lineRow = z.object({ line: jsonColumn(auditLineSchema) });
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

/** @param file the database; made when absent */
export function openLibsqlStore(file: string): Store {
  const db = new SqlDatabase(file);

  /** Inside a transaction. */
  function append(events: readonly AuditEvent[]): readonly AuditLine[] {
    let head: ChainHead =
      db.first(lineRow, "SELECT line FROM audit ORDER BY seq DESC LIMIT 1")?.line ?? EMPTY_CHAIN;
    return events.map((event) => {
      const line = chain(head, event);
      db.run("INSERT INTO audit (seq, line) VALUES (?, ?)", [line.seq, JSON.stringify(line)]);
      head = line;
      return line;
    });
  }

  const written = <T>(write: () => T): Promise<T> =>
    new Promise((resolve) => {
      resolve(db.transaction(write));
    });
  const read = <T>(query: () => T): Promise<T> =>
    new Promise((resolve) => {
      resolve(query());
    });

  return {
    createFederation: ({ federation, plan, planHash }, audit) =>
      written(() => {
        const values = [federation, json(plan), planHash];
        db.run("INSERT INTO federations (federation, plan, plan_hash) VALUES (?, ?, ?)", values);
        append([audit]);
      }),
    federations: () => read(() => db.all(federationRow, "SELECT * FROM federations ORDER BY federation")),

    ...enrolmentRows({ db, append, written, read }),
    ...governanceRows({ db, append, written, read }),

    commit: (federation, facts, atMs, audit) =>
      written(() => {
        for (const fact of facts) writeFact(db, federation, fact, atMs);
        formRoster(db, federation, facts);
        append(audit);
      }),
    rounds: (federation) =>
      read(() => {
        const attempts = db.all(
          roundRow,
          "SELECT * FROM rounds WHERE federation = ? ORDER BY round, attempt",
          [federation],
        );
        const headers = db.all(
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
        const maskingOf = readMaskings(db, federation);
        return attempts.map((row) => ({
          ...row,
          ...maskingOf(row),
          contributions: byAttempt.get(`${row.round}/${row.attempt}`) ?? [],
        }));
      }),
    checkpoints: (federation) =>
      read(() =>
        db
          .all(recordRow, "SELECT record FROM checkpoints WHERE federation = ? ORDER BY round", [federation])
          .map(({ record }) => record),
      ),
    isCheckpoint: (sha256, federation) =>
      read(() => {
        const rows = db.all(
          z.object({ federation: federationIdSchema }),
          "SELECT federation FROM checkpoints WHERE sha256 = ?",
          [sha256],
        );
        return rows.some((row) => federation === null || row.federation === federation);
      }),
    contribution: (federation, site, round, attempt) =>
      read(
        () =>
          db.first(
            headerRow,
            "SELECT round, attempt, header FROM contributions WHERE federation = ? AND site = ? AND round = ? AND attempt = ?",
            [federation, site, round, attempt],
          )?.header ?? null,
      ),
    contributionTotals: (federation) =>
      read(() =>
        db.all(
          totalsRow,
          `SELECT site, COUNT(*) FILTER (WHERE round > 0) AS contributions, SUM(sealed_bytes) AS receivedBytes
           FROM contributions WHERE federation = ? GROUP BY site ORDER BY site`,
          [federation],
        ),
      ),

    putFingerprint: (row, audit) =>
      written(() => {
        writeFingerprint(db, row);
        append([audit]);
      }),
    fingerprints: (federation) => read(() => readFingerprints(db, federation)),
    cohort: (federation) => read(() => readCohort(db, federation)),
    putDistances: (row, audit) =>
      written(() => {
        writeDistances(db, row);
        append([audit]);
      }),
    distances: (federation) => read(() => readDistances(db, federation)),

    createUpload: (row) =>
      written(() => {
        db.run(
          "INSERT INTO uploads (upload, federation, site, object, size_bytes, chunk_bytes) VALUES (?, ?, ?, ?, ?, ?)",
          [row.upload, row.federation, row.site, json(row.object), row.sizeBytes, row.chunkBytes],
        );
      }),
    uploadsOf: (federation, site) =>
      read(() =>
        db.all(uploadRow, "SELECT * FROM uploads WHERE federation = ? AND site = ? ORDER BY upload", [
          federation,
          site,
        ]),
      ),
    uploads: () => read(() => db.all(uploadRow, "SELECT * FROM uploads ORDER BY upload")),
    upload: (upload) => read(() => db.first(uploadRow, "SELECT * FROM uploads WHERE upload = ?", [upload])),
    addChunk: chunkRows(db),
    chunks: (upload) =>
      read(() =>
        db
          .all(z.object({ seq: z.int() }), "SELECT seq FROM upload_chunks WHERE upload = ? ORDER BY seq", [
            upload,
          ])
          .map(({ seq }) => seq),
      ),
    removeUpload: (upload) =>
      written(() => {
        db.run("DELETE FROM uploads WHERE upload = ?", [upload]);
      }),

    auditAfter: (seq) =>
      read(() =>
        db.all(lineRow, "SELECT line FROM audit WHERE seq > ? ORDER BY seq", [seq]).map(({ line }) => line),
      ),

    close: () => {
      db.close();
    },
  };
}

const INSERT_CONTRIBUTION = `
  INSERT INTO contributions (federation, round, attempt, site, header, sealed_bytes, received_at_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;

function writeFact(db: SqlDatabase, federation: FederationId, fact: Fact, atMs: number): void {
  switch (fact.fact) {
    case "genesis.stored":
      writeCheckpoint(db, federation, fact.record, atMs);
      return;
    case "round.opened":
      db.run(
        `INSERT INTO rounds (federation, round, attempt, base, cohort, outcome, opened_at_ms)
         VALUES (?, ?, ?, ?, ?, 'open', ?)`,
        [federation, fact.round, fact.attempt, fact.base, json(fact.cohort), atMs],
      );
      return;
    case "contribution.accepted": {
      const { round, attempt, site, sealedBytes } = fact.header.body;
      const values = [federation, round, attempt, site, json(fact.header), sealedBytes, atMs];
      db.run(INSERT_CONTRIBUTION, values);
      return;
    }
    case "masking.answered":
      writeMasking(db, federation, fact);
      if (fact.message.step === "mask") {
        const { masked } = fact.message;
        const { round, attempt, site } = fact;
        const values = [federation, round, attempt, site, json(masked), masked.body.bytes, atMs];
        db.run(INSERT_CONTRIBUTION, values);
      }
      return;
    case "masking.opened":
    case "masking.advanced":
      writeMasking(db, federation, fact);
      return;
    case "contribution.dropped":
      dropVector(db, federation, fact);
      db.run("DELETE FROM contributions WHERE federation = ? AND round = ? AND attempt = ? AND site = ?", [
        federation,
        fact.round,
        fact.attempt,
        fact.site,
      ]);
      return;
    case "round.closed":
      db.run(
        "UPDATE rounds SET outcome = 'closed', excluded = ? WHERE federation = ? AND round = ? AND attempt = ?",
        [json(fact.excluded), federation, fact.round, fact.attempt],
      );
      return;
    case "round.abandoned":
      db.run(
        `UPDATE rounds SET outcome = 'abandoned', excluded = ?, closed_at_ms = ?
         WHERE federation = ? AND round = ? AND attempt = ?`,
        [json(fact.excluded), atMs, federation, fact.round, fact.attempt],
      );
      writeMasking(db, federation, fact);
      return;
    case "round.aggregated":
      db.run(
        `UPDATE rounds SET outcome = 'aggregated', checkpoint = ?, server_state = ?, closed_at_ms = ?
         WHERE federation = ? AND round = ? AND attempt = ?`,
        [fact.record.body.sha256, fact.serverState, atMs, federation, fact.round, fact.attempt],
      );
      writeCheckpoint(db, federation, fact.record, atMs);
      writeMasking(db, federation, fact);
      return;
    case "cohort.summed":
    case "cohort.given-up":
      writeCohort(db, federation, fact, atMs);
      return;
    case "model.tried":
    case "trial.ended":
    case "federation.paused":
    case "federation.resumed":
      writeTrial(db, federation, fact, atMs);
      return;
    case "site.sat-out":
    case "contribution.late":
    case "federation.finished":
      return;
  }
}

function writeCheckpoint(
  db: SqlDatabase,
  federation: FederationId,
  record: z.infer<typeof recordRow>["record"],
  atMs: number,
): void {
  db.run(
    "INSERT INTO checkpoints (federation, round, sha256, record, created_at_ms) VALUES (?, ?, ?, ?, ?)",
    [federation, record.body.round, record.body.sha256, json(record), atMs],
  );
}

const json = (value: Json | object): string => JSON.stringify(value);
