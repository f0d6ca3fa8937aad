/** What the plan says about the encoder's health, and what a round's sites found of it together. Importable by a browser. */
import { z } from "zod";
import {
  evaluationPlanSchema,
  findingEvaluationPlanSchema,
  maskEvaluationPlanSchema,
} from "../evaluation/schema.ts";

export const healthPlanSchema = z.strictObject({
  /** Images of a site, at most, that its features are looked at on. */
  images: z.int().min(16).max(4096).default(256),
  /**
   * The federation may pause when features are spread less than this, as a share of what evenly spread ones are (see
   * `collapse`). 0 never pauses.
   */
  leastSpread: z.number().min(0).max(1).default(0.02),
  /** How well the encoder serves sites' labels. Left out and not null without, so that such plans keep their hash. */
  evaluation: evaluationPlanSchema.optional(),
  /** The same for sites' masks. */
  masks: maskEvaluationPlanSchema.optional(),
  /** How well a taught head tells findings (pretext.task findings). */
  findings: findingEvaluationPlanSchema.optional(),
  /** Whether the patients behind a model are counted, in its masked sum. Absent: they are not. */
  patients: z.boolean().optional(),
});
export type HealthPlan = z.infer<typeof healthPlanSchema>;

/** Means over the images of all sites that looked; null where none could. */
export const roundHealthSchema = z.strictObject({
  /** Numbers in a feature, D. */
  width: z.int().min(1),
  rankMe: z.number(),
  participationRatio: z.number(),
  /** Mean standard deviation of unit features' numbers. */
  featureStdDev: z.number(),
  /** Mean squared distance of two views of an image. */
  alignment: z.number(),
  /** The pretext loss on images set aside, and that of always answering with the mean; of tasks that restore images. */
  heldOutLoss: z.number().nullable(),
  meanAnswerLoss: z.number().nullable(),
  /** Shares of labelled images that a look at their nearest neighbours, and a linear probe, gets right. */
  neighbours: z.number().nullable(),
  probe: z.number().nullable(),
  /** What always saying the commonest class gets right. */
  commonest: z.number().nullable(),
});
export type RoundHealth = z.infer<typeof roundHealthSchema>;

/** Patients that a round trained on, all sites together. */
export const roundPatientsSchema = z.strictObject({
  /** Those that said; one that helped to open another sum of the round does not. */
  sites: z.int().min(1),
  /** A patient of two sites counts twice. */
  count: z.int().min(1),
});
export type RoundPatients = z.infer<typeof roundPatientsSchema>;
