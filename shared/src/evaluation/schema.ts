/** What the plan says about a common evaluation, and what a round's sites found together. Importable by a browser. */
import { z } from "zod";
import { labelTextSchema } from "../label-text.ts";

const namesSchema = (least: number) =>
  z
    .array(labelTextSchema)
    .min(least)
    .max(32)
    .refine((names) => new Set(names).size === names.length, "a class is named twice")
    .readonly();

/** Names of classes as sites label them; of two, the second is the positive one. Other labels are left out. */
export const classNamesSchema = namesSchema(2);

/** Names of what is there or not, of each by itself: findings, masks. Others are left out. */
export const presentNamesSchema = namesSchema(1);

export const evaluationPlanSchema = z.strictObject({
  classes: classNamesSchema,
  /** Labelled images of a site, at most, that are looked at. */
  images: z.int().min(32).max(100_000).default(1024),
});
export type EvaluationPlan = z.infer<typeof evaluationPlanSchema>;

export const maskEvaluationPlanSchema = z.strictObject({
  /** Names of classes as sites' masks have them; other masks are left out. */
  classes: presentNamesSchema,
  /** Images of a site with masks, at most, that are looked at. */
  images: z.int().min(16).max(512).default(256),
});

/** Of the head that a plan teaches to tell findings. */
export const findingEvaluationPlanSchema = z.strictObject({
  classes: presentNamesSchema,
  /** Images of a site with findings, at most, that are looked at. */
  images: z.int().min(32).max(100_000).default(1024),
});

const fraction = z.number().min(0).max(1);

/** Of one class against the others, over the scores of all sites. */
export const globalAurocSchema = z.strictObject({
  class: labelTextSchema,
  positives: z.int().min(0),
  negatives: z.int().min(0),
  /** Null unless there are images of both kinds. */
  auroc: z
    .strictObject({
      value: fraction,
      /** Of 95 %, for images drawn at random (DeLong), widened by `binError`. */
      low: fraction,
      high: fraction,
      /** How far the value of the scores themselves may lie from this one, at most. */
      binError: fraction,
    })
    .nullable(),
});
export type GlobalAuroc = z.infer<typeof globalAurocSchema>;

/** Dice of masks, of the model that the round started from. */
export const roundMasksSchema = z.strictObject({
  /** Those that had masks enough. */
  sites: z.int().min(1),
  /** That were asked about. */
  images: z.int().min(1),
  classes: z
    .array(
      z.strictObject({
        class: labelTextSchema,
        /** Of the cells of all images in one place; null where the class is neither said nor there. */
        dice: fraction.nullable(),
      }),
    )
    .min(1)
    .readonly(),
});
export type RoundMasks = z.infer<typeof roundMasksSchema>;

/** Of the model that the round started from. */
export const roundEvaluationSchema = z.strictObject({
  /** Those that had labels enough. */
  sites: z.int().min(1),
  classes: z.array(globalAurocSchema).min(1).readonly(),
});
export type RoundEvaluation = z.infer<typeof roundEvaluationSchema>;
