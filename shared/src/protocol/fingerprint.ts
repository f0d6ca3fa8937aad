/**
 * What a site's images are like (fingerprint/layout.ts), on its way to the coordinator before the site's `hello`, and the
 * sum of all sites' that comes back. Until it travels as the extras of a secure sum, the coordinator alone sees each
 * site's own histograms.
 */
import { z } from "zod";
import { signedSchema, type Signed } from "../crypto/signed.ts";
import { FINGERPRINT_LENGTH, GROUP_NAMES } from "../fingerprint/layout.ts";
import { federationIdSchema, sha256Schema, siteIdSchema } from "../ids.ts";

/** Signed by the site (`fingerprint`). */
export const fingerprintHeaderSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  planHash: sha256Schema,
  sealedSha256: sha256Schema,
});
export type FingerprintHeader = z.infer<typeof fingerprintHeaderSchema>;

export const fingerprintMessageSchema = z.strictObject({
  header: signedSchema(fingerprintHeaderSchema),
  /**
   * Base64url of the encoded fingerprint, sealed for the coordinator with the context
   * {kind: "fingerprint", federation, round: 0, attempt: 0, site}.
   */
  sealed: z
    .string()
    .max(8 * FINGERPRINT_LENGTH)
    .regex(/^[A-Za-z0-9_-]+$/),
});
export interface FingerprintMessage {
  readonly header: Signed<FingerprintHeader>;
  readonly sealed: string;
}

/** With fewer, a site could take its own out of the sum and read another's. */
export const MIN_SUMMED_SITES = 3;

export const cohortSumSchema = z.strictObject({
  /** Whose fingerprints are here. */
  sites: z.int().min(0),
  /** Null with fewer than MIN_SUMMED_SITES. */
  sum: z.array(z.int().min(0).max(0xffff_ffff)).length(FINGERPRINT_LENGTH).readonly().nullable(),
});
export type CohortSum = z.infer<typeof cohortSumSchema>;

/** One site beside all the others. */
export const imageComparisonSchema = z.strictObject({
  site: siteIdSchema,
  groups: z
    .array(
      z.strictObject({
        name: z.enum(GROUP_NAMES),
        title: z.string(),
        /** 0 alike, 1 nothing in common; null where nothing is known. */
        distance: z.number().min(0).max(1).nullable(),
        unlike: z.boolean(),
      }),
    )
    .readonly(),
  /** For people: "body part and intensity unlike the others (0.63)". */
  verdict: z.string(),
});
export type ImageComparison = z.infer<typeof imageComparisonSchema>;
