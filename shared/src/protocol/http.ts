/** Bodies of the HTTP routes. Importable by a browser: nothing here needs Node. */
import { z } from "zod";
import { bytesSchema, publicIdentitySchema, signedSchema } from "../crypto/signed.ts";
import { roundHealthSchema } from "../health/schema.ts";
import { federationIdSchema, sha256Schema, siteIdSchema } from "../ids.ts";
import { planSchema } from "../plan-schema.ts";
import { cohortStatusSchema, imageComparisonSchema } from "./fingerprint.ts";
import { holdSchema } from "./hold.ts";
import {
  contributionMetricsSchema,
  earlyEndSchema,
  maskingStepSchema,
  roundTotalsSchema,
  sitePhaseSchema,
  verdictSchema,
} from "./round.ts";

export const errorBodySchema = z.strictObject({
  code: z.string(),
  message: z.string(),
  next: z.string(),
  culprits: z.array(z.string()).readonly(),
});
export type ErrorBody = z.infer<typeof errorBodySchema>;

// Enrolment: POST /api/enrolments

/** Signed by the new site (`enrolment`), which proves that it holds the key. */
export const enrolmentRequestSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  identity: publicIdentitySchema,
  /** The secret part of the one-time token. */
  tokenSecret: bytesSchema(32),
});
export type EnrolmentRequest = z.infer<typeof enrolmentRequestSchema>;
export const signedEnrolmentRequestSchema = signedSchema(enrolmentRequestSchema);

export const enrolmentReplySchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  coordinator: publicIdentitySchema,
  plan: signedSchema(planSchema),
});
export type EnrolmentReply = z.infer<typeof enrolmentReplySchema>;

// Sessions: POST /api/challenges, POST /api/sessions

export const challengeRequestSchema = z.strictObject({ federation: federationIdSchema, site: siteIdSchema });
export const challengeReplySchema = z.strictObject({ challenge: bytesSchema(32) });

/** Signed by the site (`session`). The challenge is used up by it. */
export const sessionRequestSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  challenge: bytesSchema(32),
  /** Chosen by the site; the coordinator signs it in return. */
  siteNonce: bytesSchema(32),
});
export const signedSessionRequestSchema = signedSchema(sessionRequestSchema);

/** Signed by the coordinator (`coordinator-proof`). */
export const coordinatorProofSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  siteNonce: bytesSchema(32),
});
export const sessionReplySchema = z.strictObject({
  session: bytesSchema(32),
  proof: signedSchema(coordinatorProofSchema),
});

// Operators: POST /api/federations/:federation/invitations

export const invitationRequestSchema = z.strictObject({
  site: siteIdSchema,
  validForMs: z
    .int()
    .min(1000)
    .default(7 * 24 * 3600_000),
});
export const invitationReplySchema = z.strictObject({
  /** Everything `consilium-site join` needs besides the address; shown once. */
  token: z.string(),
  site: siteIdSchema,
  expiresAt: z.iso.datetime(),
});

// Status: GET /api/federations, GET /api/federations/:federation, and each `data:` of .../events (server-sent events)

export const siteStatusSchema = z.strictObject({
  site: siteIdSchema,
  fingerprint: z.string(),
  /** The same for the telephone. */
  words: z.string(),
  /** Why it takes no part for now, in its own words; null where it has not said so lately. */
  hold: holdSchema.nullable(),
  connected: z.boolean(),
  lastSeenAt: z.iso.datetime().nullable(),
  phase: sitePhaseSchema,
  /** Steps or bytes, as in the site's last progress message. */
  done: z.number(),
  total: z.number(),
  /** Loss and examples are null where the plan masks: the coordinator does not learn them. */
  loss: z.number().nullable(),
  examples: z.int().nullable(),
  /** Contributions accepted so far. */
  contributions: z.int(),
  /** Bytes received from the site in accepted uploads. */
  receivedBytes: z.int(),
});
export type SiteStatus = z.infer<typeof siteStatusSchema>;

export const roundStatusSchema = z.strictObject({
  round: z.int(),
  attempt: z.int(),
  openedAt: z.iso.datetime(),
  closedAt: z.iso.datetime().nullable(),
  /** Weighted by examples over the contributions; null until one has arrived, or the sum of masked ones is open. */
  loss: z.number().nullable(),
  /** Of a masked round, once its sum is open. */
  totals: roundTotalsSchema.nullable(),
  /** What the encoder's features are like; null where nobody looked. */
  health: roundHealthSchema.nullable(),
  /** Examples and metrics are null where the plan masks. */
  contributions: z
    .array(
      z.strictObject({
        site: siteIdSchema,
        examples: z.int().nullable(),
        metrics: contributionMetricsSchema.nullable(),
      }),
    )
    .readonly(),
  /** Sites of the cohort that did not contribute, and why. */
  excluded: z.array(z.strictObject({ site: siteIdSchema, reason: z.string() })).readonly(),
  /** The global model that the round produced. */
  checkpoint: sha256Schema.nullable(),
  /** On the model that the round started from, where the plan has models tried. */
  verdict: verdictSchema.nullable(),
});
export type RoundStatus = z.infer<typeof roundStatusSchema>;

export const federationStatusSchema = z.strictObject({
  federation: federationIdSchema,
  plan: planSchema,
  planHash: sha256Schema,
  coordinatorFingerprint: z.string(),
  coordinatorWords: z.string(),
  phase: z.enum(["waiting", "open", "aggregating", "paused", "finished"]),
  /** One sentence on what is being waited for. */
  summary: z.string(),
  /** Why it ended before its last round; null otherwise. */
  stopped: earlyEndSchema.nullable(),
  /** 0 before the first round. */
  round: z.int(),
  rounds: z.int(),
  attempt: z.int(),
  /** Of an open round whose updates are masked. */
  step: maskingStepSchema.nullable(),
  deadlineAt: z.iso.datetime().nullable(),
  /** The newest global model. */
  checkpoint: sha256Schema.nullable(),
  /** The running average up to it, where the plan asks for one and there are two models. */
  average: sha256Schema.nullable(),
  parameters: z.int().nullable(),
  /** How many of them are trained and travel in updates. */
  updateParameters: z.int().nullable(),
  sites: z.array(siteStatusSchema).readonly(),
  /** Sites that wait for the approval of those on the roster. */
  candidates: z
    .array(
      z.strictObject({
        site: siteIdSchema,
        fingerprint: z.string(),
        words: z.string(),
        endorsers: z.array(siteIdSchema).readonly(),
        needed: z.int(),
      }),
    )
    .readonly(),
  /** What each site's images are like beside the others'; empty while there is nobody to compare with. */
  images: z.array(imageComparisonSchema).readonly(),
  /** What all sites' images together are like. */
  cohort: cohortStatusSchema,
  history: z.array(roundStatusSchema).readonly(),
});
export type FederationStatus = z.infer<typeof federationStatusSchema>;
