/**
 * What the sites' images are like (fingerprint/layout.ts). Where the plan masks, the fingerprints are added up in the round
 * before the first, the coordinator shows the sum as its signed record, and each site says how far it is from the others.
 * In a plain federation a fingerprint goes sealed to the coordinator before the site's `hello`, which then sees each.
 */
import { z } from "zod";
import { signedSchema, type Signed } from "../crypto/signed.ts";
import { byGroup, FINGERPRINT_LENGTH, GROUP_NAMES } from "../fingerprint/layout.ts";
import { attemptSchema, federationIdSchema, sha256Schema, siteIdSchema } from "../ids.ts";

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

/** By bin, all sites together. */
const sumSchema = z.array(z.int().min(0).max(0xffff_ffff)).length(FINGERPRINT_LENGTH).readonly();

/** In a plain federation. */
export const cohortSumSchema = z.strictObject({
  /** Whose fingerprints are here. */
  sites: z.int().min(0),
  /** Null with fewer than MIN_SUMMED_SITES. */
  sum: sumSchema.nullable(),
});
export type CohortSum = z.infer<typeof cohortSumSchema>;

/** Signed by the coordinator (`cohort`): the unmasked sum, and of whom it is. */
export const cohortRecordSchema = z.strictObject({
  federation: federationIdSchema,
  planHash: sha256Schema,
  /** Of the round before the first. */
  attempt: attemptSchema,
  sites: z.array(siteIdSchema).min(MIN_SUMMED_SITES).readonly(),
  sum: sumSchema,
});
export type CohortRecord = z.infer<typeof cohortRecordSchema>;

/** Where the plan masks. */
export const maskedCohortSchema = z.strictObject({
  /** Null before the sum, or if there will be none. */
  record: signedSchema(cohortRecordSchema).nullable(),
  /** Why there will be no sum: an error code. A site gives its fingerprint into no second sum. */
  givenUp: z.string().nullable(),
});
export type MaskedCohort = z.infer<typeof maskedCohortSchema>;

const hundredths = z.int().min(0).max(100).nullable();

/** Signed by the site (`image-distances`): how far its images are from the sum of the others, to two decimals. */
export const distancesMessageSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  planHash: sha256Schema,
  /** SHA-256 of the canonical JSON of the record that it compared itself with. */
  cohort: sha256Schema,
  /** In hundredths: the wire has no room for more. */
  hundredths: z.strictObject(byGroup(() => hundredths)),
});
export type DistancesMessage = z.infer<typeof distancesMessageSchema>;
export const signedDistancesSchema = signedSchema(distancesMessageSchema);

/** What all sites' images together are like, as people are shown it. */
export const cohortStatusSchema = z.strictObject({
  /** Of the sum. */
  sites: z.int().min(0),
  /** Null while there is none. */
  groups: z
    .array(
      z.strictObject({
        name: z.enum(GROUP_NAMES),
        title: z.string(),
        /** By bin, from 0 to 1; empty where no site knows anything. */
        shares: z.array(z.strictObject({ bin: z.string(), share: z.number().min(0).max(1) })).readonly(),
      }),
    )
    .readonly()
    .nullable(),
  /** Why there will be no sum. */
  givenUp: z.string().nullable(),
});
export type CohortStatus = z.infer<typeof cohortStatusSchema>;

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
