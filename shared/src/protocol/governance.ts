/** What sites and coordinator tell each other beside the training: the roster, the audit log's head, why a site waits. */
import { z } from "zod";
import { publicIdentitySchema, signedSchema } from "../crypto/signed.ts";
import { federationIdSchema, sha256Schema, siteIdSchema } from "../ids.ts";
import { rosterChangeSchema } from "../roster/roster.ts";
import { rosterSchema } from "../secagg/attempt.ts";

// Roster: GET /api/federations/:federation/roster, POST .../endorsements, POST .../removals

/** Signed by the coordinator (`roster-version`). */
export const rosterVersionSchema = z.strictObject({
  federation: federationIdSchema,
  version: z.int().min(1),
  members: rosterSchema,
});

/** A site that has enrolled since training began. */
export const candidateSchema = z.strictObject({
  site: siteIdSchema,
  identity: publicIdentitySchema,
  /** Members whose signature is here. */
  endorsers: z.array(siteIdSchema).readonly(),
});
export type Candidate = z.infer<typeof candidateSchema>;

export const rosterShownSchema = z.strictObject({
  /** Null until the first round opens: whoever enrols before is on the first version. */
  newest: signedSchema(rosterVersionSchema).nullable(),
  /** All of them, with the signatures that they rest on. */
  changes: z.array(rosterChangeSchema).readonly(),
  candidates: z.array(candidateSchema).readonly(),
  /** Signatures that a candidate needs. */
  needed: z.int().min(0),
});
export type RosterShown = z.infer<typeof rosterShownSchema>;

export const endorsementReplySchema = z.strictObject({
  site: siteIdSchema,
  endorsements: z.int(),
  needed: z.int(),
  /** Whether the site is on the roster now. */
  added: z.boolean(),
});

export const removalRequestSchema = z.strictObject({ site: siteIdSchema });
export const removalReplySchema = z.strictObject({ site: siteIdSchema, version: z.int().nullable() });

// Audit: GET /api/federations/:federation/audit, POST .../countersignatures

/** Signed by the coordinator (`audit-head`) once a round is over. */
export const auditHeadSchema = z.strictObject({
  federation: federationIdSchema,
  round: z.int().min(0),
  seq: z.int().min(1),
  hash: sha256Schema,
});
export type AuditHead = z.infer<typeof auditHeadSchema>;

/** Signed by a site (`audit-countersignature`) that has seen the log grow from the head it signed before to this one. */
export const countersignatureSchema = z.strictObject({ ...auditHeadSchema.shape, site: siteIdSchema });
export type Countersignature = z.infer<typeof countersignatureSchema>;
export const signedCountersignatureSchema = signedSchema(countersignatureSchema);

/** A line of the log without what it says, which may be another federation's: enough to follow the chain. */
export const auditLinkSchema = z.strictObject({
  seq: z.int().min(1),
  previous: sha256Schema,
  /** SHA-256 of the content. */
  content: sha256Schema,
  hash: sha256Schema,
});
export type AuditLink = z.infer<typeof auditLinkSchema>;

export const auditShownSchema = z.strictObject({
  /** Null before the end of the first round. */
  head: signedSchema(auditHeadSchema).nullable(),
  /** Lines after the one asked for, up to the head's, or as many as an answer holds. */
  links: z.array(auditLinkSchema).readonly(),
});
export type AuditShown = z.infer<typeof auditShownSchema>;
