/** What attempts say of the models that were tried in them. Inside a transaction. */
import type { FederationId } from "@consilium/shared/ids";
import type { TrialFact } from "../federation/types.ts";
import type { SqlDatabase } from "./database.ts";
import { forgetMessages } from "./masking-rows.ts";

export function writeTrial(db: SqlDatabase, federation: FederationId, fact: TrialFact, atMs: number): void {
  const set = (
    columns: string,
    values: readonly (string | number)[],
    attempt: number = fact.attempt,
  ): void => {
    db.run(`UPDATE rounds SET ${columns} WHERE federation = ? AND round = ? AND attempt = ?`, [
      ...values,
      federation,
      fact.round,
      attempt,
    ]);
  };
  switch (fact.fact) {
    case "model.tried":
      set("verdict = ?", [JSON.stringify(fact.verdict)]);
      if (fact.verdict.accepted) return;
      set("outcome = 'abandoned', closed_at_ms = ?", [atMs]);
      forgetMessages(db, federation, fact);
      return;
    case "trial.ended":
      set("outcome = 'aggregated', checkpoint = ?, closed_at_ms = ?", [fact.checkpoint, atMs]);
      forgetMessages(db, federation, fact);
      return;
    case "federation.paused":
      // It follows from the verdicts.
      return;
    case "federation.resumed":
      // The attempt that paused it: the fact names the one that follows, which may be of the next round.
      db.run(
        `UPDATE rounds SET resumed = 1 WHERE federation = ? AND (round, attempt) =
         (SELECT round, attempt FROM rounds WHERE federation = ? ORDER BY round DESC, attempt DESC LIMIT 1)`,
        [federation, federation],
      );
      return;
  }
}
