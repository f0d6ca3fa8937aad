/**
 * What the demo knows when it has ended: written as JSON with `--json`, rendered as `report.html`.
 * Numbers are plain; pictures are PNG data URLs, which stay on the machine that ran the demo.
 */
import { federationIdSchema, sha256Schema, siteIdSchema } from "@consilium/shared/ids";
import { planSchema } from "@consilium/shared/plan-schema";
import { z } from "zod";

const count = z.int().min(0);
const durationMs = z.number().min(0);

/** A measured value with its 95 % interval (bootstrap by patient). */
export const intervalSchema = z.strictObject({
  value: z.number(),
  low: z.number(),
  high: z.number(),
});
export type Interval = z.infer<typeof intervalSchema>;

export const machineSchema = z.strictObject({
  cpu: z.string(),
  cores: z.int().min(1),
  memoryBytes: count,
  /** For example `linux x64`. */
  platform: z.string(),
  node: z.string(),
});

export const hospitalSchema = z.strictObject({
  site: siteIdSchema,
  /** How this hospital's images look and why, in words: "soft contrast, bright markers, 12 bit". */
  look: z.string(),
  /** One entry per way the pixel data are written, for example { name: "JPEG-LS Lossless", files: 40 }. */
  transferSyntaxes: z.array(z.strictObject({ name: z.string(), files: count })).readonly(),
  photometricInterpretations: z.array(z.string()).readonly(),
  files: count,
  /** Images in the cache. */
  used: count,
  /** Error code -> files set aside. */
  quarantined: z.record(z.string(), count),
  /** Null when the hospital has no labels. */
  labels: z.strictObject({ matched: count, unmatched: count, duplicates: count }).nullable(),
});
export type Hospital = z.infer<typeof hospitalSchema>;

export const trainingRoundSchema = z.strictObject({
  round: z.int().min(1),
  /** Weighted by examples; null if nothing arrived. */
  loss: z.number().nullable(),
  durationMs,
  /** Examples and loss are null where updates are masked: nobody but the site knows them. */
  sites: z
    .array(z.strictObject({ site: siteIdSchema, examples: count.nullable(), loss: z.number().nullable() }))
    .readonly(),
});
export type TrainingRound = z.infer<typeof trainingRoundSchema>;

/** Where the encoder's weights came from before fine-tuning. */
export const encoderOriginSchema = z.enum(["scratch", "own", "global"]);
export type EncoderOrigin = z.infer<typeof encoderOriginSchema>;

/** One row of `consilium-site finetune`. */
export const evaluationRowSchema = z.strictObject({
  from: encoderOriginSchema,
  mode: z.enum(["probe", "finetune"]),
  seed: count,
  auroc: intervalSchema,
  accuracy: intervalSchema,
});
export type EvaluationRow = z.infer<typeof evaluationRowSchema>;

export const evaluationSchema = z.strictObject({
  site: siteIdSchema,
  /** What was fine-tuned on. */
  labels: z.strictObject({ images: count, patients: count }),
  test: z.strictObject({ images: count, patients: count }),
  rows: z.array(evaluationRowSchema).readonly(),
});
export type Evaluation = z.infer<typeof evaluationSchema>;

/** A result from elsewhere to compare with, for example the same model trained on all images in one place. */
export const referenceSchema = z.strictObject({
  /** "pooled: one machine with all images". */
  name: z.string(),
  mode: z.enum(["probe", "finetune"]),
  /** Labelled images used. */
  labels: count.nullable(),
  auroc: intervalSchema,
  accuracy: intervalSchema.nullable(),
});

export const pngDataUrlSchema = z.string().regex(/^data:image\/png;base64,[A-Za-z0-9+/]+=*$/);

export const reconstructionSchema = z.strictObject({
  site: siteIdSchema,
  images: z
    .array(
      z.strictObject({
        original: pngDataUrlSchema,
        masked: pngDataUrlSchema,
        reconstructed: pngDataUrlSchema,
      }),
    )
    .readonly(),
});

/** What one site sent to the coordinator. */
export const outflowSchema = z.strictObject({
  site: siteIdSchema,
  objects: z
    .array(
      z.strictObject({
        /** "weight updates", "progress messages", "enrolment request". */
        kind: z.string(),
        count,
        bytes: count,
        /** How it is protected on the way, in words: "encrypted for the coordinator, signed". */
        protection: z.string(),
      }),
    )
    .readonly(),
});
export type Outflow = z.infer<typeof outflowSchema>;

/** A promise that the run was held to. */
export const checkSchema = z.strictObject({
  name: z.string(),
  /** As people read it: "at least 30 %". */
  target: z.string(),
  value: z.string(),
  ok: z.boolean(),
});
export type Check = z.infer<typeof checkSchema>;

export const demoReportSchema = z.strictObject({
  schemaVersion: z.literal(1),
  federation: federationIdSchema,
  title: z.string(),
  startedAt: z.iso.datetime(),
  durationMs,
  /** `phantom` images are drawn by the demo; `folder` ones came with --data. */
  data: z.enum(["phantom", "folder"]),
  /** What the classifier tells apart: "opacity against clear". */
  question: z.string(),
  /** The demo's options as given or defaulted, for people: { name: "--rounds", value: "8" }. */
  options: z.array(z.strictObject({ name: z.string(), value: z.string() })).readonly(),
  machine: machineSchema,
  plan: planSchema,
  planHash: sha256Schema,
  parameters: count.nullable(),
  /** The last global model. */
  checkpoint: sha256Schema.nullable(),
  /** How long each part took, in order. */
  steps: z.array(z.strictObject({ name: z.string(), durationMs })).readonly(),
  hospitals: z.array(hospitalSchema).readonly(),
  training: z.strictObject({ durationMs, rounds: z.array(trainingRoundSchema).readonly() }),
  evaluations: z.array(evaluationSchema).readonly(),
  references: z.array(referenceSchema).readonly(),
  reconstructions: z.array(reconstructionSchema).readonly(),
  outflows: z.array(outflowSchema).readonly(),
  checks: z.array(checkSchema).readonly(),
  links: z.array(z.strictObject({ label: z.string(), href: z.string() })).readonly(),
});
export type DemoReport = z.infer<typeof demoReportSchema>;
