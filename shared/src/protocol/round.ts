/** What the coordinator says about a round, and what a site answers with. */
import { z } from "zod";
import { roundEvaluationSchema, roundMasksSchema } from "../evaluation/schema.ts";
import { roundHealthSchema, roundPatientsSchema } from "../health/schema.ts";
import {
  attemptSchema,
  federationIdSchema,
  roundSchema,
  sha256Schema,
  siteIdSchema,
  type Round,
} from "../ids.ts";

/**
 * The round before the first: where the plan masks, it adds up what the sites' images are like (fingerprint/), and
 * changes no model.
 */
export const FINGERPRINT_ROUND = 0 as Round;
export const isFingerprintRound = (round: number): boolean => round === FINGERPRINT_ROUND;

/** The round after the last one of the plan: nobody trains, the last model is tried on patients held out. */
export const isTrialRound = (round: number, { rounds }: { readonly rounds: number }): boolean =>
  round > rounds;

/** Whether a round is one of the plan's, which makes a model. */
export const trainsIn = (round: number, plan: { readonly rounds: number }): boolean =>
  !isFingerprintRound(round) && !isTrialRound(round, plan);

/** For people: "round 3 of 6", or what a round without training is for. */
export function roundInWords(round: number, plan: { readonly rounds: number }): string {
  if (isFingerprintRound(round)) return "before round 1";
  return isTrialRound(round, plan) ? "trying the last model" : `round ${round} of ${plan.rounds}`;
}

/** The same, to begin a sentence with: "Round 3". */
export function roundTitle(round: number, plan: { readonly rounds: number }): string {
  if (isFingerprintRound(round)) return "Before round 1";
  return isTrialRound(round, plan) ? "Trying the last model" : `Round ${round}`;
}

/** Signed by the coordinator (`round-opening`); the site trusts nothing else about a round. */
export const roundOpeningSchema = z.strictObject({
  federation: federationIdSchema,
  round: roundSchema,
  attempt: attemptSchema,
  /** The global model that the round starts from. */
  base: sha256Schema,
  planHash: sha256Schema,
  cohort: z.array(siteIdSchema).readonly(),
});
export type RoundOpening = z.infer<typeof roundOpeningSchema>;

/** What a site reports of its local training. Numbers only. */
export const contributionMetricsSchema = z.strictObject({
  /** Mean pretext loss over the local steps. */
  loss: z.number(),
  /** Mean pretext loss over the last quarter of the local steps. */
  finalLoss: z.number(),
  steps: z.int().min(1),
  /** L2 norm of the update. */
  updateNorm: z.number().min(0),
  trainingMs: z.number().min(0),
  /** Of the round's base, on images that nobody trains on; absent where the plan has none held out, or the site too few. */
  heldOutLoss: z.number().min(0).optional(),
});
export type ContributionMetrics = z.infer<typeof contributionMetricsSchema>;

/** Signed by the site (`contribution`); embeds the hash of the sealed update, which is what travels. */
export const contributionHeaderSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  round: roundSchema,
  attempt: attemptSchema,
  base: sha256Schema,
  planHash: sha256Schema,
  manifestHash: sha256Schema,
  /** Images that the local epochs went over; the weight in federated averaging. */
  examples: z.int().min(1),
  metrics: contributionMetricsSchema,
  /** Of this site's features, where the plan looks at them. */
  health: roundHealthSchema.optional(),
  sealedSha256: sha256Schema,
  sealedBytes: z.int().min(1),
});
export type ContributionHeader = z.infer<typeof contributionHeaderSchema>;

/** Signed by the coordinator (`checkpoint`): where a global model comes from. */
export const checkpointRecordSchema = z.strictObject({
  federation: federationIdSchema,
  /** The round that produced it; 0 for the initial model. */
  round: z.int().min(0),
  sha256: sha256Schema,
  planHash: sha256Schema,
  parent: sha256Schema.nullable(),
  sites: z.array(siteIdSchema).readonly(),
  /** Images that these sites trained on, to two digits; absent where the plan protects patients or sites. */
  images: z.int().min(1).optional(),
  /** Patients likewise, where the plan counts them (`health.patients`); one of two sites counts twice. */
  patients: z.int().min(1).optional(),
  /** Of a running average of global models, whose `parent` is the last of them; it is what a federation ends with, if its plan asks for it. */
  average: z.strictObject({ decay: z.number(), models: z.int().min(2) }).optional(),
});
export type CheckpointRecord = z.infer<typeof checkpointRecordSchema>;

/** How far a site is inside the current round. */
export const sitePhaseSchema = z.enum(["idle", "fetching", "training", "uploading", "waiting", "finetuning"]);
export type SitePhase = z.infer<typeof sitePhaseSchema>;

/** The steps of a masked round (docs/secure-aggregation.md), in order. */
export const maskingStepSchema = z.enum(["advertise", "share", "mask", "consistency", "unmask"]);
export type MaskingStep = z.infer<typeof maskingStepSchema>;

/** Groups whose sums were opened apart, and those whose sum could not be. */
const roundGroupsSchema = z.strictObject({
  opened: z.int().min(1),
  leftOut: z
    .array(z.strictObject({ sites: z.array(siteIdSchema).readonly(), reason: z.string() }))
    .readonly(),
});
export type RoundGroups = z.infer<typeof roundGroupsSchema>;

/** What a round's unmasked sum says beside the update; of all its sites together. */
export const roundTotalsSchema = z.strictObject({
  /** Sum of min(examples, cap). */
  examples: z.int().min(1),
  /** Elements beyond their ranges. */
  clipped: z.int().min(0),
  /** Means, weighted by examples. */
  loss: z.number(),
  finalLoss: z.number(),
  updateNorm: z.number(),
  steps: z.int().min(0),
  health: roundHealthSchema.optional(),
  /** How well the round's base serves sites' labels; absent where the plan does not ask, or no site has enough. */
  evaluation: roundEvaluationSchema.optional(),
  /** How well it finds what sites' masks show. */
  masks: roundMasksSchema.optional(),
  /** How many patients it trained on, where the plan counts them. */
  patients: roundPatientsSchema.optional(),
  /** Mean held-out loss of the round's base, each site counting alike; absent if none has tried it. */
  heldOutLoss: z.number().optional(),
  /** Where groups are summed apart. */
  groups: roundGroupsSchema.optional(),
});
export type RoundTotals = z.infer<typeof roundTotalsSchema>;

const triedModelSchema = z.strictObject({ checkpoint: sha256Schema, loss: z.number() });

/** Why a federation ended before its last round (the plan's `stop`). */
export const earlyEndSchema = z.strictObject({
  /** In which the last model was tried; what was trained in it is in no model. */
  round: roundSchema,
  /** Models in a row that were not better than the best by enough. */
  tries: z.int().min(1),
  /** Held-out loss of the model that the federation ends with, the best of all. */
  bestLoss: z.number(),
});
export type EarlyEnd = z.infer<typeof earlyEndSchema>;

export const describeEarlyEnd = ({ round, tries, bestLoss }: EarlyEnd): string =>
  `Ended early, in round ${round}: ${tries === 1 ? "a model was" : `${tries} models in a row were`} no better on held-out images than the best one, whose loss is ${bestLoss.toFixed(4)} and which is the result.`;

/** What became of a model that sites have tried on held-out images; see the coordinator's Verdict. */
export const verdictSchema = triedModelSchema.extend({
  accepted: z.boolean(),
  /** What it was compared with, and gone back to if it was worse. */
  before: triedModelSchema.nullable(),
});
