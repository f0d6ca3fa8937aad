/** What a fact changes in the rows. Inside a transaction. */
import type { Signed } from "@consilium/shared/crypto/signed";
import type { FederationId } from "@consilium/shared/ids";
import type { CheckpointRecord } from "@consilium/shared/protocol/round";
import type { Fact } from "../federation/types.ts";
import type { SqlTransaction } from "./database.ts";
import { writeCohort } from "./fingerprints.ts";
import { dropVector, writeMasking } from "./masking-rows.ts";
import { writeTrial } from "./trial-rows.ts";

const INSERT_CONTRIBUTION = `
  INSERT INTO contributions (federation, round, attempt, site, header, sealed_bytes, received_at_ms)
  VALUES (?, ?, ?, ?, ?, ?, ?)`;

export async function writeFact(
  db: SqlTransaction,
  federation: FederationId,
  fact: Fact,
  atMs: number,
): Promise<void> {
  switch (fact.fact) {
    case "genesis.stored":
      await writeCheckpoint(db, federation, fact.record, atMs);
      return;
    case "round.opened":
      await db.run(
        `INSERT INTO rounds (federation, round, attempt, base, cohort, outcome, opened_at_ms)
         VALUES (?, ?, ?, ?, ?, 'open', ?)`,
        [federation, fact.round, fact.attempt, fact.base, json(fact.cohort), atMs],
      );
      return;
    case "contribution.accepted": {
      const { round, attempt, site, sealedBytes } = fact.header.body;
      const values = [federation, round, attempt, site, json(fact.header), sealedBytes, atMs];
      await db.run(INSERT_CONTRIBUTION, values);
      return;
    }
    case "masking.answered":
      await writeMasking(db, federation, fact);
      if (fact.message.step === "mask") {
        const { masked } = fact.message;
        const { round, attempt, site } = fact;
        const values = [federation, round, attempt, site, json(masked), masked.body.bytes, atMs];
        await db.run(INSERT_CONTRIBUTION, values);
      }
      return;
    case "masking.opened":
    case "masking.advanced":
      await writeMasking(db, federation, fact);
      return;
    case "contribution.dropped":
      await dropVector(db, federation, fact);
      await db.run(
        "DELETE FROM contributions WHERE federation = ? AND round = ? AND attempt = ? AND site = ?",
        [federation, fact.round, fact.attempt, fact.site],
      );
      return;
    case "round.closed":
      await db.run(
        "UPDATE rounds SET outcome = 'closed', excluded = ? WHERE federation = ? AND round = ? AND attempt = ?",
        [json(fact.excluded), federation, fact.round, fact.attempt],
      );
      return;
    case "round.abandoned":
      await db.run(
        `UPDATE rounds SET outcome = 'abandoned', excluded = ?, closed_at_ms = ?
         WHERE federation = ? AND round = ? AND attempt = ?`,
        [json(fact.excluded), atMs, federation, fact.round, fact.attempt],
      );
      await writeMasking(db, federation, fact);
      return;
    case "round.aggregated":
      await db.run(
        `UPDATE rounds SET outcome = 'aggregated', checkpoint = ?, server_state = ?, average = ?, closed_at_ms = ?
         WHERE federation = ? AND round = ? AND attempt = ?`,
        [fact.record.body.sha256, fact.serverState, fact.average, atMs, federation, fact.round, fact.attempt],
      );
      await writeCheckpoint(db, federation, fact.record, atMs);
      await writeMasking(db, federation, fact);
      return;
    case "cohort.summed":
    case "cohort.given-up":
      await writeCohort(db, federation, fact, atMs);
      return;
    case "model.tried":
    case "trial.ended":
    case "federation.paused":
    case "federation.resumed":
      await writeTrial(db, federation, fact, atMs);
      return;
    case "site.sat-out":
    case "contribution.late":
    case "federation.finished":
      return;
  }
}

async function writeCheckpoint(
  db: SqlTransaction,
  federation: FederationId,
  record: Signed<CheckpointRecord>,
  atMs: number,
): Promise<void> {
  await db.run(
    "INSERT INTO checkpoints (federation, round, sha256, record, created_at_ms) VALUES (?, ?, ?, ?, ?)",
    [federation, record.body.round, record.body.sha256, json(record), atMs],
  );
}

const json = (value: object): string => JSON.stringify(value);
