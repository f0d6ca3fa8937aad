/** What attempts say of the models that were tried in them. Inside a transaction. */
import type { FederationId } from "@consilium/shared/ids";
import type { TrialFact } from "../federation/types.ts";
import type { SqlTransaction } from "./database.ts";
import { forgetMessages } from "./masking-rows.ts";

export async function writeTrial(
  db: SqlTransaction,
  federation: FederationId,
  fact: TrialFact,
  atMs: number,
): Promise<void> {
  const set = (
    columns: string,
    values: readonly (string | number)[],
    attempt: number = fact.attempt,
  ): Promise<number> =>
    db.run(`UPDATE rounds SET ${columns} WHERE federation = ? AND round = ? AND attempt = ?`, [
      ...values,
      federation,
      fact.round,
      attempt,
    ]);
  switch (fact.fact) {
    case "model.tried":
      await set("verdict = ?", [JSON.stringify(fact.verdict)]);
      if (fact.verdict.accepted) return;
      await set("outcome = 'abandoned', closed_at_ms = ?", [atMs]);
      await forgetMessages(db, federation, fact);
      return;
    case "trial.ended":
      await set("outcome = 'aggregated', checkpoint = ?, closed_at_ms = ?", [fact.checkpoint, atMs]);
      await forgetMessages(db, federation, fact);
      return;
    case "federation.paused":
      // It follows from the verdicts.
      return;
    case "federation.resumed":
      // The attempt that paused it: the fact names the one that follows, which may be of the next round.
      await db.run(
        `UPDATE rounds SET resumed = 1 WHERE federation = ? AND (round, attempt) =
         (SELECT round, attempt FROM rounds WHERE federation = ? ORDER BY round DESC, attempt DESC LIMIT 1)`,
        [federation, federation],
      );
      return;
  }
}
