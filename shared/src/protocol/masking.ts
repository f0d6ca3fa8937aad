/**
 * Secure aggregation on the control connection. A masked round goes through five steps; in each the coordinator has
 * something to show (`masking.show`) and waits for one message of each site that is still in it (`masking.answer`; in the
 * step `mask` an upload). All of it is idempotent.
 */
import { z } from "zod";
import { signedSchema } from "../crypto/signed.ts";
import type { ErrorCode } from "../errors.ts";
import { attemptSchema, federationIdSchema, roundSchema, siteIdSchema } from "../ids.ts";
import { rosterSchema } from "../secagg/attempt.ts";
import {
  agreementSchema,
  dealingMessageSchema,
  deliverySchema,
  keyListSchema,
  signedKeysSchema,
  signedMaskedSchema,
  signedReleaseSchema,
  signedVoteSchema,
  survivorListSchema,
} from "../secagg/messages.ts";
import { maskingStepSchema } from "./round.ts";

/** Signed by the coordinator (`roster`): all sites of the federation when the attempt began, and their keys. */
export const rosterRecordSchema = z.strictObject({
  federation: federationIdSchema,
  round: roundSchema,
  attempt: attemptSchema,
  /** Of the roster (roster/roster.ts). */
  version: z.int().min(1),
  members: rosterSchema,
});
export type RosterRecord = z.infer<typeof rosterRecordSchema>;

const which = { round: roundSchema, attempt: attemptSchema };

/** What a site says in a step; the masked vector of `mask` is uploaded under this header. */
export const maskingMessageSchema = z.discriminatedUnion("step", [
  z.strictObject({ step: z.literal("advertise"), keys: signedKeysSchema }),
  z.strictObject({ step: z.literal("share"), dealing: dealingMessageSchema }),
  z.strictObject({ step: z.literal("mask"), masked: signedMaskedSchema }),
  z.strictObject({ step: z.literal("consistency"), vote: signedVoteSchema }),
  z.strictObject({ step: z.literal("unmask"), release: signedReleaseSchema }),
]);
export type MaskingMessage = z.infer<typeof maskingMessageSchema>;

export const maskingAnswerSchema = z.strictObject({ ...which, message: maskingMessageSchema });
export type MaskingAnswer = z.infer<typeof maskingAnswerSchema>;

export const maskingQuerySchema = z.strictObject({ ...which, step: maskingStepSchema });
export type MaskingQuery = z.infer<typeof maskingQuerySchema>;

/** What the coordinator shows to one site in a step. */
export const maskingShownSchema = z.discriminatedUnion("step", [
  z.strictObject({ step: z.literal("advertise"), roster: signedSchema(rosterRecordSchema) }),
  z.strictObject({ step: z.literal("share"), keys: keyListSchema }),
  z.strictObject({ step: z.literal("mask"), delivery: deliverySchema }),
  z.strictObject({ step: z.literal("consistency"), survivors: survivorListSchema }),
  z.strictObject({ step: z.literal("unmask"), agreement: agreementSchema }),
]);
export type MaskingShown = z.infer<typeof maskingShownSchema>;
export type ShownIn<Step extends MaskingShown["step"]> = Extract<MaskingShown, { step: Step }>;

/** For one of these a site takes no further part in an attempt; the next attempt is another matter. */
export const SIT_OUT_REASONS = [
  "secagg.too-few-sites",
  "secagg.spent",
  "secagg.bad-share",
  "secagg.bad-key",
  "secagg.other-attempt",
] as const satisfies readonly ErrorCode[];

/** Site to coordinator: it need not be waited for. */
export const sitOutSchema = z.strictObject({
  ...which,
  reason: z.enum(SIT_OUT_REASONS),
  /** Sites whose message was the reason, as far as that is known. */
  culprits: z.array(siteIdSchema).max(100).readonly(),
});
export type SitOut = z.infer<typeof sitOutSchema>;
