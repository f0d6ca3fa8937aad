/** POST /api/federations/:federation/holds: why a site takes no part for now. Importable by a browser. */
import { z } from "zod";

export const holdReasonSchema = z.enum(["plan-approval", "hours", "bytes"]);
export type HoldReason = z.infer<typeof holdReasonSchema>;

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
