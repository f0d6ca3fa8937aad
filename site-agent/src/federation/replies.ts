/** What the coordinator answers on the sockets, checked before it is believed. */
import { signedSchema } from "@consilium/shared/crypto/signed";
import { uploadIdSchema } from "@consilium/shared/ids";
import {
  MAX_UPLOAD_CHUNK_BYTES,
  maskingStandingSchema,
  signedRoundOpeningSchema,
  type FederationPosition,
} from "@consilium/shared/protocol/events";
import { cohortSumSchema, maskedCohortSchema } from "@consilium/shared/protocol/fingerprint";
import { errorBodySchema } from "@consilium/shared/protocol/http";
import { maskingShownSchema } from "@consilium/shared/protocol/masking";
import { checkpointRecordSchema, earlyEndSchema } from "@consilium/shared/protocol/round";
import { z } from "zod";

export const signedCheckpointRecordSchema = signedSchema(checkpointRecordSchema);

export const positionSchema = z.discriminatedUnion("phase", [
  z.strictObject({ phase: z.literal("waiting"), genesisWanted: z.boolean() }),
  z.strictObject({
    phase: z.literal("open"),
    opening: signedRoundOpeningSchema,
    remainingMs: z.number(),
    contributed: z.boolean(),
    masking: maskingStandingSchema.optional(),
  }),
  z.strictObject({ phase: z.literal("aggregating"), round: z.int() }),
  z.strictObject({
    phase: z.literal("finished"),
    checkpoint: signedCheckpointRecordSchema,
    stopped: earlyEndSchema.optional(),
  }),
]) satisfies z.ZodType<FederationPosition>;

const outcomeSchema = z.enum(["accepted", "duplicate", "stale"]);

const refusal = z.strictObject({ ok: z.literal(false), error: errorBodySchema });
const ok = z.literal(true);

export const positionReplySchema = z.union([z.strictObject({ ok, position: positionSchema }), refusal]);
export const cohortReplySchema = z.union([
  z.strictObject({ ok, cohort: z.union([cohortSumSchema, maskedCohortSchema]) }),
  refusal,
]);
export const emptyReplySchema = z.union([z.strictObject({ ok }), refusal]);
export const beginReplySchema = z.union([
  z.strictObject({
    ok,
    upload: uploadIdSchema,
    chunkBytes: z.int().min(1024).max(MAX_UPLOAD_CHUNK_BYTES),
    have: z.string().regex(/^[A-Za-z0-9_-]*$/),
  }),
  z.strictObject({ ok, outcome: outcomeSchema }),
  refusal,
]);
export const commitReplySchema = z.union([z.strictObject({ ok, outcome: outcomeSchema }), refusal]);
export const shownReplySchema = z.union([z.strictObject({ ok, shown: maskingShownSchema }), refusal]);
