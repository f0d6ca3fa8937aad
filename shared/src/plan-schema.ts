/** The plan's shape and defaults, importable by a browser. See plan.ts for what is done with one. */
import { z } from "zod";
import { ENCODER_DEPTHS } from "./encoder-sizes.ts";
import { healthPlanSchema } from "./health/schema.ts";
import { greySchema, volumeSchema } from "./grey-schema.ts";
import { federationIdSchema } from "./ids.ts";
import { comparesImages, FEWEST_COMPARED, pretextSchema, taughtIn } from "./pretext-schema.ts";
import { startSchema } from "./start-schema.ts";
import { stopSchema } from "./stop-schema.ts";
import { fewestSites, groupSitesOf, needsEachUpdate, strategySchema } from "./strategy-schema.ts";

const fraction = z.number().min(0).max(1);

/** The encoder. */
export const modelSchema = z
  .strictObject({
    /** Width / depth / heads: nano 128/6/4, tiny 192/12/3, small 384/12/6, base 768/12/12. */
    size: z.enum(["nano", "tiny", "small", "base"]).default("nano"),
    /** Side of the square image that the network sees. */
    imagePx: z.int().min(16).max(1024).default(64),
    patchPx: z.int().min(2).max(64).default(8),
    /** 1 is grey. */
    channels: z.int().min(1).max(16).default(1),
    /** 3 for volumes; the plan's `volume` then says on which grid they are laid. */
    dimensions: z.literal([2, 3]).default(2),
    /** Slices of the volume that the network sees, and of a patch; 1 for images. */
    depthPx: z.int().min(1).max(512).default(1),
    patchDepthPx: z.int().min(1).max(64).default(1),
  })
  .refine(({ imagePx, patchPx }) => imagePx % patchPx === 0, "imagePx must be a multiple of patchPx")
  .refine(
    ({ depthPx, patchDepthPx }) => depthPx % patchDepthPx === 0,
    "depthPx must be a multiple of patchDepthPx",
  )
  .refine(
    ({ dimensions, depthPx }) => (dimensions === 3 ? depthPx > 1 : depthPx === 1),
    "depthPx is for dimensions 3 alone, and needed there",
  );

/** Low-rank updates of the encoder. */
const lowRankSchema = z.strictObject({
  /** Rows of B; of a matrix with so many inputs, rank / inputs of the bytes travel. */
  rank: z.int().min(1).max(64),
  /** Size of what a step of AdamW does to an element of W, roughly, over what it does without. */
  alpha: z.number().positive().max(64).default(4),
});

const trainingSchema = z.strictObject({
  localEpochs: z.int().min(1).max(100).default(1),
  batchSize: z.int().min(1).max(4096).default(32),
  /** Peak of the cosine schedule, which follows the federation's progress and not the site's. */
  learningRate: z.number().positive().max(1).default(1e-3),
  warmupRounds: z.number().min(0).default(1),
  adamBeta1: fraction.default(0.9),
  adamBeta2: fraction.default(0.95),
  weightDecay: z.number().min(0).default(0.05),
  clipGlobalNorm: z.number().positive().default(1),
  /** FedProx: adds mu / 2 times the squared distance from the round's model to the local loss. 0 leaves it out. */
  proximalMu: z.number().min(0).max(100).default(0),
  /** The encoder's first blocks, with class token and patch projection, stay as they were and travel in no update; 0: these two alone. */
  frozenBlocks: z.int().min(0).optional(),
  /** The matrices of the encoder's blocks move by A B alone, and B travels: see low-rank.ts. Everything else is trained as ever. */
  lowRank: lowRankSchema.optional(),
  /** Moments stay at the site in either case and are never averaged. */
  optimizerState: z.enum(["keep", "reset"]).default("keep"),
});

/** DP-SGD at each site (docs/privacy.md). Each site has its own number of patients, and its own ledger and limit. */
const patientPrivacySchema = z
  .strictObject({
    unit: z.literal("patient"),
    /** A patient's gradient is scaled down to this L2 norm if it exceeds it. */
    clipL2Norm: z.number().positive().max(1e6).default(1),
    /** Standard deviation of the noise over clipL2Norm, the same at every site. */
    noiseMultiplier: z.number().positive().max(1000).optional(),
    /** Instead: each site works out the noise that keeps all rounds within this, at delta. */
    targetEpsilon: z.number().positive().max(1000).optional(),
    delta: z.number().positive().max(0.01).default(1e-6),
    /** Probability with which a patient is in a batch. Unless given, such that a batch has batchSize patients on average. */
    sampleRate: z.number().positive().max(1).optional(),
  })
  .refine(
    ({ noiseMultiplier, targetEpsilon }) => (noiseMultiplier === undefined) !== (targetEpsilon === undefined),
    "give either noiseMultiplier or targetEpsilon",
  );

/** A whole site is protected: its update is cut, and the sites' noise adds up inside the secure sum (docs/privacy.md). */
const sitePrivacySchema = z
  .strictObject({
    unit: z.literal("site"),
    /** An update is scaled down to this L2 norm if it exceeds it. */
    clipL2Norm: z.number().positive().max(1e6).default(1),
    /** Standard deviation of the noise in the sum over clipL2Norm, however few sites are left in it. */
    noiseMultiplier: z.number().positive().max(1000).optional(),
    /** Instead: the noise that keeps all rounds within this, at delta. */
    targetEpsilon: z.number().positive().max(1000).optional(),
    delta: z.number().positive().max(0.01).default(1e-6),
  })
  .refine(
    ({ noiseMultiplier, targetEpsilon }) => (noiseMultiplier === undefined) !== (targetEpsilon === undefined),
    "give either noiseMultiplier or targetEpsilon",
  );

const privacySchema = z.discriminatedUnion("unit", [
  z.strictObject({ unit: z.literal("none") }),
  patientPrivacySchema,
  sitePrivacySchema,
]);

/** With two, each could read the other's update from the sum. */
const FEWEST_MASKED_SITES = 3;

const aggregationSchema = z.strictObject({
  strategy: strategySchema.default("fedavg"),
  /** `masked`: the coordinator sees the sum of the updates and no single one. `plain`: it can read each. */
  secure: z.enum(["masked", "plain"]).default("masked"),
  /** Bits of an element of a masked update: 16 halves the upload, for errors of 1e-4 to 1e-2. */
  linkBits: z.union([z.literal(32), z.literal(16)]).default(32),
  /**
   * Under masking a site with more images weighs no more than this. Set it a little above the largest site: where all
   * have a tenth of it the sum has two digits less.
   */
  examplesCap: z.int().min(1).max(200_000).default(4096),
});

/** What the sites get at the end: the last model, or an average over the last ones. */
const averageSchema = z.strictObject({
  /** Of the average so far in the next one: 1 / (1 - decay) models count, roughly. */
  decay: z.number().min(0.1).max(0.9999).default(0.9),
});

/** Each global model is tried at the sites on images that nobody trains on; a worse one is taken back. */
const acceptanceSchema = z.strictObject({
  /** Share of each site's patients whose images are never trained on. */
  heldOutShare: z.number().min(0.01).max(0.5).default(0.1),
  /** How much larger the held-out loss may be than that of the model before, as a share of it. */
  tolerance: z.number().min(0).max(10).default(0.05),
  /** After so many models in a row that were taken back training pauses until an operator resumes it. */
  maxRollbacks: z.int().min(1).max(100).default(3),
});

/** The section of `health` that evaluates a taught head, by the task that teaches it. */
const EVALUATED_IN = { classify: "evaluation", findings: "findings", masks: "masks" } as const;

export const planSchema = z
  .strictObject({
    schemaVersion: z.literal(1).default(1),
    federation: federationIdSchema,
    title: z.string().min(1).max(200),
    /** Every random choice that sites share (initial weights) follows from it. */
    seed: z.int().min(0).max(0xffff_ffff).default(1),
    /** The model that the initial weights are taken from; those that it lacks follow from the seed. Absent: all do. */
    start: startSchema.optional(),
    rounds: z.int().min(1).max(100_000),
    /** A round counts with at least this many contributions, three or more where updates are masked; training starts when as many have joined. */
    minSites: z.int().min(1).max(10_000).default(FEWEST_MASKED_SITES),
    /** After this a round goes on with the contributions it has, if they are enough. */
    roundDeadlineMs: z
      .int()
      .min(1_000)
      .default(30 * 60_000),
    /** Side of the square images in each site's cache, from which crops are taken. */
    cachePx: z.int().min(16).max(2048).default(96),
    /** How stored values become grey. */
    grey: greySchema.prefault({}),
    /** The grid of volumes (model.dimensions 3), or null for images. */
    volume: volumeSchema.nullable().default(null),
    model: modelSchema.prefault({}),
    /** What is learnt. */
    pretext: pretextSchema.prefault({ task: "mae" }),
    training: trainingSchema.prefault({}),
    /** What is looked at after each round's training, or null for nothing. */
    health: healthPlanSchema.nullable().prefault({}),
    privacy: privacySchema.prefault({ unit: "none" }),
    aggregation: aggregationSchema.prefault({}),
    /** The coordinator keeps a running average of the global models, which is the result. Absent: the last one is. */
    average: averageSchema.optional(),
    acceptance: acceptanceSchema.nullable().default(null),
    /** Ends the federation once held-out losses fall no further. Absent: after the last round. */
    stop: stopSchema.optional(),
  })
  .refine(({ rounds, training }) => training.warmupRounds <= rounds, "warmupRounds exceeds rounds")
  .refine(({ aggregation, minSites }) => aggregation.secure === "plain" || minSites >= FEWEST_MASKED_SITES, {
    path: ["minSites"],
    message:
      'masked updates need at least 3 sites, for with two each could read the other\'s from the sum; raise minSites, or let the coordinator read every update with aggregation.secure "plain"',
  })
  .refine(({ aggregation }) => aggregation.secure === "plain" || !needsEachUpdate(aggregation.strategy), {
    path: ["aggregation", "strategy"],
    message: "needs every update by itself, and masks leave the coordinator their sum alone",
    params: { code: "plan.needs-each-update" },
  })
  .refine(
    ({ aggregation }) => aggregation.secure === "masked" || groupSitesOf(aggregation.strategy) === undefined,
    {
      path: ["aggregation", "strategy"],
      message: "groups are there to hide sites; where the coordinator reads every update take median",
    },
  )
  .refine(({ aggregation, minSites }) => minSites >= fewestSites(aggregation.strategy), {
    path: ["minSites"],
    message:
      "too few for aggregation.strategy: median and trimmed-mean want 3 sites, krum and multi-krum twice byzantine and 3, group-median three groups, 12 sites or more",
  })
  .refine(
    ({ aggregation, training: { adamBeta1, adamBeta2 } }) =>
      aggregation.secure === "plain" || (adamBeta1 ** 2 < adamBeta2 && adamBeta2 < 1),
    { path: ["training", "adamBeta2"], message: "masked updates need adamBeta1^2 < adamBeta2 < 1" },
  )
  .refine(
    ({ aggregation: { secure, examplesCap }, training }) =>
      secure === "plain" ||
      training.localEpochs *
        Math.ceil(examplesCap / training.batchSize) *
        training.learningRate *
        training.weightDecay <
        1,
    {
      path: ["training", "weightDecay"],
      message:
        "masked updates need a bound: weightDecay moves weights without one in a round of examplesCap images",
    },
  )
  .refine(({ pretext, training }) => !comparesImages(pretext.task) || training.batchSize >= FEWEST_COMPARED, {
    path: ["training", "batchSize"],
    message: `a task that compares images needs at least ${FEWEST_COMPARED} in a batch, and does better with 64 or more`,
  })
  .refine(({ pretext, privacy }) => !comparesImages(pretext.task) || privacy.unit !== "patient", {
    path: ["privacy", "unit"],
    message:
      "patients cannot be protected one by one where the loss compares their images; take pretext.task mae or restoration",
  })
  .refine(
    ({ pretext, privacy }) =>
      pretext.task !== "classify" || privacy.unit !== "patient" || !pretext.balanceClasses,
    {
      path: ["pretext", "balanceClasses"],
      message:
        "the weights of classes follow from all of a site's labels, and would tell of a patient without noise; where patients are protected it is false",
    },
  )
  .refine(
    ({ pretext, privacy }) =>
      (pretext.task !== "findings" && pretext.task !== "masks") || privacy.unit !== "patient",
    {
      path: ["privacy", "unit"],
      message:
        "of which findings or masks a site knows at all follows from all of its patients together, so that they cannot be protected one by one; take pretext.task classify",
    },
  )
  .superRefine(({ pretext, health }, context) => {
    const refuse = (field: readonly string[], message: string) => {
      context.addIssue({ code: "custom", path: ["health", ...field], message });
    };
    const taught = taughtIn(pretext);
    const section = taught === null ? "findings" : EVALUATED_IN[taught.task];
    const asked = health?.[section];
    if (taught !== null && asked !== undefined && asked.classes.join("/") !== taught.classes.join("/"))
      refuse(
        [section, "classes"],
        "the head that is trained is evaluated: they are pretext.classes, in their order",
      );
    if (pretext.task !== "findings" && health?.findings !== undefined)
      refuse(["findings"], "only a head that the plan teaches them is evaluated: pretext.task findings");
    if (pretext.task === "findings" && health?.evaluation !== undefined)
      refuse(["evaluation"], "a plan that teaches findings evaluates these: health.findings");
  })
  .refine(
    ({ aggregation: { secure, linkBits }, privacy }) =>
      privacy.unit !== "site" || (secure === "masked" && linkBits === 32),
    {
      path: ["privacy", "unit"],
      message:
        'the noise of privacy by site is whole only in a masked sum, and too fine for 16 bits: it needs aggregation.secure "masked" and linkBits 32',
    },
  )
  .refine(({ acceptance, privacy }) => acceptance === null || privacy.unit === "none", {
    path: ["acceptance"],
    message:
      "a held-out loss would leave the site without noise; leave acceptance out of a plan with privacy",
  })
  .refine(({ training, start }) => training.frozenBlocks === undefined || start !== undefined, {
    path: ["training", "frozenBlocks"],
    message: "random weights are nothing to keep; give a model to start from (plan --start-from)",
  })
  .refine(({ training, start }) => training.lowRank === undefined || start !== undefined, {
    path: ["training", "lowRank"],
    message: "random weights need to be trained whole; give a model to start from (plan --start-from)",
  })
  .refine(({ training, model }) => (training.frozenBlocks ?? 0) <= ENCODER_DEPTHS[model.size], {
    path: ["training", "frozenBlocks"],
    message: "the encoder has fewer blocks: nano 6, the others 12",
  })
  .refine(({ stop, acceptance }) => stop === undefined || acceptance !== null, {
    path: ["stop"],
    message: "it looks at the loss on patients held out, whom acceptance (heldOutShare) sets aside",
  })
  .refine(
    ({ health, aggregation, privacy }) =>
      health?.evaluation === undefined || (aggregation.secure === "masked" && privacy.unit === "none"),
    {
      path: ["health", "evaluation"],
      message:
        'scores of patients leave a site in a masked sum alone, and without noise: it needs aggregation.secure "masked", and does not go with privacy',
    },
  )
  .refine(
    ({ health, aggregation, privacy }) =>
      health?.masks === undefined || (aggregation.secure === "masked" && privacy.unit === "none"),
    {
      path: ["health", "masks"],
      message:
        'counts of masks leave a site in a masked sum alone, and without noise: it needs aggregation.secure "masked", and does not go with privacy',
    },
  )
  .refine(
    ({ health, aggregation, privacy }) =>
      health?.findings === undefined || (aggregation.secure === "masked" && privacy.unit === "none"),
    {
      path: ["health", "findings"],
      message:
        'scores of patients leave a site in a masked sum alone, and without noise: it needs aggregation.secure "masked", and does not go with privacy',
    },
  )
  .refine(({ health, model }) => health?.masks === undefined || model.dimensions === 2, {
    path: ["health", "masks"],
    message: "masks are evaluated on images, and the plan is for volumes",
  })
  .refine(({ model, volume }) => (model.dimensions === 3) === (volume !== null), {
    message: "model.dimensions 3 and volume go together",
    path: ["volume"],
  });

export type Plan = DeepReadonly<z.infer<typeof planSchema>>;
export type PlanInput = z.input<typeof planSchema>;

/** Branded strings and numbers are objects to the type checker, but have nothing to freeze. */
export type DeepReadonly<T> = T extends string | number | boolean
  ? T
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
