/** Rows of masked attempts: in which step they are, the messages of the one that is under way, and what sums said. */
import type { FederationId } from "@consilium/shared/ids";
import { attemptSchema, roundSchema, siteIdSchema } from "@consilium/shared/ids";
import { maskingMessageSchema } from "@consilium/shared/protocol/masking";
import { maskingStepSchema, roundTotalsSchema } from "@consilium/shared/protocol/round";
import { z } from "zod";
import type { Fact } from "../federation/types.ts";
import { jsonColumn, type SqlReader, type SqlTransaction } from "./database.ts";
import type { RoundRow } from "./store.ts";

const maskingRow = z.object({
  round: roundSchema,
  attempt: attemptSchema,
  roster: jsonColumn(z.array(siteIdSchema).readonly()),
  step: maskingStepSchema,
  totals: jsonColumn(roundTotalsSchema).nullable(),
});
const messageRow = z.object({
  round: roundSchema,
  attempt: attemptSchema,
  site: siteIdSchema,
  message: jsonColumn(maskingMessageSchema),
});

type MaskedFact = Extract<
  Fact,
  {
    fact:
      | "masking.opened"
      | "masking.answered"
      | "masking.advanced"
      | "round.abandoned"
      | "round.aggregated"
      | "cohort.summed";
  }
>;

/** Completes attempts by what is known of their masking. */
export async function readMaskings(
  db: SqlReader,
  federation: FederationId,
): Promise<(row: Pick<RoundRow, "round" | "attempt" | "outcome">) => Pick<RoundRow, "masking" | "totals">> {
  const maskings = await db.all(maskingRow, "SELECT * FROM maskings WHERE federation = ?", [federation]);
  const messages = await db.all(
    messageRow,
    "SELECT * FROM masking_messages WHERE federation = ? ORDER BY rowid",
    [federation],
  );
  return ({ round, attempt, outcome }) => {
    const isOurs = (row: { round: number; attempt: number }): boolean =>
      row.round === round && row.attempt === attempt;
    const found = maskings.find(isOurs);
    if (found === undefined) return { masking: null, totals: null };
    const { roster, step, totals } = found;
    const isOver = outcome === "aggregated" || outcome === "abandoned";
    const held = messages.filter(isOurs).map(({ site, message }) => ({ site, message }));
    return { masking: isOver ? null : { roster, step, messages: held }, totals };
  };
}

/** Inside a transaction. The messages of an attempt that is over serve nobody but who would open single updates. */
export async function writeMasking(
  db: SqlTransaction,
  federation: FederationId,
  fact: MaskedFact,
): Promise<void> {
  const { round, attempt } = fact;
  const key = [federation, round, attempt];
  switch (fact.fact) {
    case "masking.opened":
      await db.run(
        "INSERT INTO maskings (federation, round, attempt, roster, step) VALUES (?, ?, ?, ?, 'advertise')",
        [...key, JSON.stringify(fact.roster)],
      );
      return;
    case "masking.answered":
      await db.run(
        `INSERT INTO masking_messages (federation, round, attempt, step, site, message)
         VALUES (?, ?, ?, ?, ?, ?)`,
        [...key, fact.message.step, fact.site, JSON.stringify(fact.message)],
      );
      return;
    case "masking.advanced":
      await db.run("UPDATE maskings SET step = ? WHERE federation = ? AND round = ? AND attempt = ?", [
        fact.step,
        ...key,
      ]);
      return;
    case "round.aggregated":
      if (fact.totals !== undefined) {
        await db.run("UPDATE maskings SET totals = ? WHERE federation = ? AND round = ? AND attempt = ?", [
          JSON.stringify(fact.totals),
          ...key,
        ]);
      }
      await forgetMessages(db, federation, fact);
      return;
    case "round.abandoned":
    case "cohort.summed":
      await forgetMessages(db, federation, fact);
      return;
  }
}

/** Inside a transaction: the attempt is over. */
export async function forgetMessages(
  db: SqlTransaction,
  federation: FederationId,
  { round, attempt }: Pick<MaskedFact, "round" | "attempt">,
): Promise<void> {
  await db.run("DELETE FROM masking_messages WHERE federation = ? AND round = ? AND attempt = ?", [
    federation,
    round,
    attempt,
  ]);
}

/** Inside a transaction: a vector that cannot be read any more. */
export async function dropVector(
  db: SqlTransaction,
  federation: FederationId,
  { round, attempt, site }: Extract<Fact, { fact: "contribution.dropped" }>,
): Promise<void> {
  await db.run(
    `DELETE FROM masking_messages
     WHERE federation = ? AND round = ? AND attempt = ? AND site = ? AND step = 'mask'`,
    [federation, round, attempt, site],
  );
}
