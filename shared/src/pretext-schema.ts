/** The plan's task: what is learnt, without labels but for one of them, and its settings. */
import { z } from "zod";
import { classNamesSchema, presentNamesSchema } from "./evaluation/schema.ts";

const fraction = z.number().min(0).max(1);

/** Random resized crop, as every task takes it. `cropMinArea` and `cropMaxArea` are shares of the image or volume. */
const cropFields = (minArea: number) => ({
  cropMinArea: z.number().min(0.01).max(1).default(minArea),
  cropMaxArea: z.number().min(0.01).max(1).default(1),
  /** Mirrors every second image, by chance. */
  flip: z.boolean().default(true),
});

const decoderSchema = z
  .strictObject({
    width: z.int().min(16).max(1024).default(128),
    depth: z.int().min(1).max(16).default(2),
    heads: z.int().min(1).max(16).default(4),
  })
  .prefault({});

const maeSchema = z.strictObject({
  task: z.literal("mae"),
  /** Share of the patches that is hidden from the encoder. */
  maskRatio: z.number().min(0.1).max(0.95).default(0.75),
  /** Regress patches standardised by their own mean and variance (He et al. 2022, section 4.1). */
  normPixLoss: z.boolean().default(true),
  decoder: decoderSchema,
  ...cropFields(0.5),
});

/** What makes two views of a grey image differ beside their crops. Affine jitter is left out: standardising undoes it. */
const viewFields = {
  ...cropFields(0.3),
  /** Brightness is bent by x^gamma, gamma log-uniform in 1 / gammaMax .. gammaMax. */
  gammaMax: z.number().min(1).max(4).default(1.5),
  /** Every second view is blurred, with a Gaussian of up to so many pixels of what the network sees. */
  blurMaxPx: z.number().min(0).max(8).default(1),
  /** Of white noise, at most, in units of the image's own standard deviation. */
  noiseMaxStdDev: z.number().min(0).max(1).default(0.1),
};

const temperature = z.number().min(0.01).max(1).default(0.2);

/** Perceptron between encoder and loss, normalised by layer: statistics of a batch would tell of the site. */
const projectorSchema = (hidden: number, width: number) =>
  z
    .strictObject({
      hidden: z.int().min(8).max(8192).default(hidden),
      width: z.int().min(8).max(8192).default(width),
    })
    .prefault({});

const simclrSchema = z.strictObject({
  task: z.literal("simclr"),
  temperature,
  projector: projectorSchema(256, 128),
  ...viewFields,
});

const mocov3Schema = z.strictObject({
  task: z.literal("mocov3"),
  temperature,
  projector: projectorSchema(256, 128),
  /** Of the teacher, which follows the trained weights at the site and never leaves it. */
  momentum: z.number().min(0.5).max(0.9999).default(0.99),
  /** The patch projection stays as it was drawn: what Chen et al. 2021, section 4.3, found to keep training stable. */
  freezePatchProjection: z.boolean().default(true),
  ...viewFields,
});

const vicregSchema = z.strictObject({
  task: z.literal("vicreg"),
  projector: projectorSchema(512, 512),
  invariance: z.number().positive().max(1000).default(25),
  variance: z.number().positive().max(1000).default(25),
  covariance: z.number().positive().max(1000).default(1),
  ...viewFields,
});

const restorationSchema = z.strictObject({
  task: z.literal("restoration"),
  decoder: decoderSchema,
  /** How often each distortion is met (Zhou et al. 2021, table 1). */
  curveRate: fraction.default(0.9),
  shuffleRate: fraction.default(0.5),
  paintRate: fraction.default(0.9),
  /** Of the painted images, those with holes inside; the others are painted over but for some windows. */
  inpaintShare: fraction.default(0.2),
  ...cropFields(0.5),
});

/** What all tasks with labels have: encoder and linear head learn what sites gave their images. Labels stay there. */
const taughtFields = (minArea: number) => ({
  /** `site`: the encoder alone travels, and each site trains and keeps a head of its own. Absent: the head is shared like the encoder. */
  head: z.enum(["shared", "site"]).optional(),
  /** Share of each site's labelled patients on whom nobody trains: they tell how good the head is. */
  testShare: z.number().min(0.05).max(0.5).default(0.3),
  /** Factor on the learning rate from one block to the next below. */
  layerDecay: z.number().min(0.1).max(1).default(0.65),
  ...cropFields(minArea),
});

const entropyFields = {
  /** Weights each class's loss by its rarity at the site. */
  balanceClasses: z.boolean().default(true),
  /** Share of the wanted probability that is spread over all classes. */
  labelSmoothing: z.number().min(0).max(0.5).default(0.1),
};

/** One class an image. */
const classifySchema = z.strictObject({
  task: z.literal("classify"),
  classes: classNamesSchema,
  ...taughtFields(0.8),
  ...entropyFields,
});

/** Several findings on an image, each there, not there or not known. */
const findingsSchema = z.strictObject({
  task: z.literal("findings"),
  classes: presentNamesSchema,
  ...taughtFields(0.8),
  ...entropyFields,
});

/** Masks, one independent probability for each class and pixel. */
const masksSchema = z.strictObject({
  task: z.literal("masks"),
  classes: presentNamesSchema,
  ...taughtFields(0.4),
});

export const pretextSchema = z
  .discriminatedUnion("task", [
    maeSchema,
    simclrSchema,
    mocov3Schema,
    vicregSchema,
    restorationSchema,
    classifySchema,
    findingsSchema,
    masksSchema,
  ])
  .refine(({ cropMinArea, cropMaxArea }) => cropMinArea <= cropMaxArea, {
    path: ["cropMinArea"],
    message: "cropMinArea exceeds cropMaxArea",
  });

type Pretext = z.infer<typeof pretextSchema>;
export type PretextName = Pretext["task"];

/** What a plan teaches from labels; null where it learns without. */
export const taughtIn = <P extends Pick<Pretext, "task">>(pretext: P) =>
  "classes" in pretext ? (pretext as Extract<P, { readonly classes: readonly string[] }>) : null;

/** Tasks whose loss compares the images of a batch with each other. */
const COMPARING: ReadonlySet<PretextName> = new Set(["simclr", "mocov3", "vicreg"]);

export const comparesImages = (task: PretextName): boolean => COMPARING.has(task);

/** Fewer images say too little of each other. */
export const FEWEST_COMPARED = 8;

/** What a plan gets that names the task and no batch size (learning rates and batches of the papers, on small encoders). */
export const USUAL_BATCH: Readonly<Record<PretextName, number>> = {
  mae: 32,
  simclr: 128,
  mocov3: 128,
  vicreg: 64,
  restoration: 32,
  classify: 16,
  findings: 16,
  masks: 16,
};
