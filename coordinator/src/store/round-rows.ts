/** Rows of attempts, but for what is known of their contributions and masking. */
import { attemptSchema, roundSchema, sha256Schema, siteIdSchema } from "@consilium/shared/ids";
import { verdictSchema } from "@consilium/shared/protocol/round";
import { z } from "zod";
import { jsonColumn } from "./database.ts";
import type { RoundRow } from "./store.ts";

const exclusionsSchema = z.array(z.strictObject({ site: siteIdSchema, reason: z.string() })).readonly();

export const roundRow = z
  .object({
    round: roundSchema,
    attempt: attemptSchema,
    base: sha256Schema,
    cohort: jsonColumn(z.array(siteIdSchema).readonly()),
    outcome: z.enum(["open", "closed", "aggregated", "abandoned"]),
    opened_at_ms: z.int(),
    closed_at_ms: z.int().nullable(),
    excluded: jsonColumn(exclusionsSchema),
    checkpoint: sha256Schema.nullable(),
    server_state: sha256Schema.nullable(),
    average: sha256Schema.nullable(),
    verdict: jsonColumn(verdictSchema).nullable(),
    resumed: z.int(),
  })
  .transform((row): Omit<RoundRow, "contributions" | "masking" | "totals"> => ({
    round: row.round,
    attempt: row.attempt,
    base: row.base,
    cohort: row.cohort,
    outcome: row.outcome,
    openedAtMs: row.opened_at_ms,
    closedAtMs: row.closed_at_ms,
    excluded: row.excluded,
    checkpoint: row.checkpoint,
    serverState: row.server_state,
    average: row.average,
    verdict: row.verdict,
    resumed: row.resumed === 1,
  }));
