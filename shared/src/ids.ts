/**
 * Identifiers. Each is a branded string or number, so that a site can never be passed where a round is meant.
 * Parse at the boundary with the schema; inside the system the brand is the proof.
 */
import { z } from "zod";

const slug = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "use 1 to 63 of a-z, 0-9 and inner hyphens");

/** A federation's name: a DNS label. */
export const federationIdSchema = slug.brand<"FederationId">();
export type FederationId = z.infer<typeof federationIdSchema>;

/** A site's name inside its federation: a DNS label. */
export const siteIdSchema = slug.brand<"SiteId">();
export type SiteId = z.infer<typeof siteIdSchema>;

/** Rounds of training count from 1; before them comes FINGERPRINT_ROUND (protocol/round.ts). */
export const roundSchema = z.int().min(0).brand<"Round">();
export type Round = z.infer<typeof roundSchema>;

/** A retry of a round, from 1. */
export const attemptSchema = z.int().min(1).brand<"Attempt">();
export type Attempt = z.infer<typeof attemptSchema>;

/** SHA-256 as 64 lower-case hexadecimal digits. */
export const sha256Schema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits")
  .brand<"Sha256">();
export type Sha256 = z.infer<typeof sha256Schema>;

/** Made by the coordinator, never by a site, so that it can never name a path. */
export const uploadIdSchema = z
  .string()
  .regex(/^[0-9a-f]{32}$/, "expected 32 hexadecimal digits")
  .brand<"UploadId">();
export type UploadId = z.infer<typeof uploadIdSchema>;
