/** POST /api/federations/:federation/holds: why a site takes no part for now. Importable by a browser. */
import { z } from "zod";

export const holdReasonSchema = z.enum(["plan-approval", "hours", "bytes"]);
export type HoldReason = z.infer<typeof holdReasonSchema>;

/** The coordinator forgets a reason that is not said again within this. */
export const HOLD_LASTS_MS = 15 * 60_000;
/** A site that waits says so three times in that; each time stands in its record. */
export const HOLD_SAID_EVERY_MS = HOLD_LASTS_MS / 3;

/** Advisory: it is shown to operators, and forgotten when the site goes on or falls silent. */
export const holdSchema = z.strictObject({
  reason: holdReasonSchema,
  /** When it ends by itself. */
  until: z.iso.datetime().nullable(),
});
export type HoldMessage = z.infer<typeof holdSchema>;

/** Null: it goes on. */
export const holdRequestSchema = z.strictObject({ hold: holdSchema.nullable() });
export const holdReplySchema = z.strictObject({});
