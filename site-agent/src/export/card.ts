/**
 * What is to be known of an encoder that leaves: how it is built and fed, where it comes from, what was measured, what it may
 * be used for. As JSON for programs and as Markdown for people, with the front matter that model hubs read.
 */
import { vectorLength } from "@consilium/shared/manifest";
import type { CheckpointRecord } from "@consilium/shared/protocol/round";
import { planHash, type Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { strategyOf, type StrategyName } from "@consilium/shared/strategy-schema";
import { counted } from "@consilium/shared/units";
import { boundsText, MODE_TEXT, NO_INTERVAL } from "../downstream/describe.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import type { Evaluation } from "./evaluation.ts";
import { encoderCard, type EncoderCard } from "./timm.ts";

export interface CardSources {
  readonly config: VitConfig;
  readonly plan: Plan;
  /** The checkpoint's SHA-256. */
  readonly checkpoint: string;
  /** Who vouches for it; null for an encoder that this site trained alone. */
  readonly record: CheckpointRecord | null;
  readonly licence: string | null;
  readonly evaluation: Evaluation | null;
}

export interface ModelCard extends Omit<EncoderCard, "timm"> {
  readonly schemaVersion: 1;
  readonly title: string;
  readonly licence: string | null;
  /** Null for an encoder of volumes, which timm has no network for. */
  readonly timm: EncoderCard["timm"] | null;
  /** How many the encoder has. */
  readonly weights: number;
  readonly training: {
    readonly pretext: Plan["pretext"];
    readonly round: number | null;
    readonly rounds: number;
    readonly sites: number;
    /** Those that the sites of its last round trained on, to two digits; null where the record does not say. */
    readonly images: number | null;
    /** Theirs, likewise; null too where the plan does not count them. */
    readonly patients: number | null;
    /** Of the factors by which each round moved the encoder's matrices; null where it moved them themselves. */
    readonly lowRank: number | null;
    /** What the head that it was taught with became: of the global model, kept at each site, or null where no labels taught it. */
    readonly head: "shared" | "site" | null;
    readonly strategy: StrategyName;
    readonly secureAggregation: Plan["aggregation"]["secure"];
    readonly privacy: Plan["privacy"];
    /** Null for a global model as it is; otherwise of how many the encoder is a running average. */
    readonly average: NonNullable<CheckpointRecord["average"]> | null;
  };
  readonly lineage: {
    readonly checkpoint: string;
    readonly parent: string | null;
    readonly plan: string;
    readonly federation: string;
    /** The model that the plan starts from; null where it starts from random weights. */
    readonly start: { readonly sha256: string; readonly origin: string } | null;
  };
  readonly grey: Plan["grey"];
  readonly evaluation: Evaluation | null;
}

export function modelCard(sources: CardSources): ModelCard {
  const { config, plan, checkpoint, record, licence, evaluation } = sources;
  const { timm, ...encoder } = encoderCard(config);
  return {
    schemaVersion: 1,
    title: plan.title,
    licence,
    ...encoder,
    timm: config.volume === undefined ? timm : null,
    weights: vectorLength(manifestOf(vitParameters(config))),
    training: {
      pretext: plan.pretext,
      round: record?.round ?? null,
      rounds: plan.rounds,
      sites: record?.sites.length ?? 1,
      images: record?.images ?? null,
      patients: record?.patients ?? null,
      lowRank: plan.training.lowRank?.rank ?? null,
      head: headOf(plan),
      strategy: strategyOf(plan.aggregation.strategy).name,
      secureAggregation: plan.aggregation.secure,
      privacy: plan.privacy,
      average: record?.average ?? null,
    },
    lineage: {
      checkpoint,
      parent: record?.parent ?? null,
      plan: planHash(plan),
      federation: plan.federation,
      start: plan.start === undefined ? null : { sha256: plan.start.sha256, origin: plan.start.origin },
    },
    grey: plan.grey,
    evaluation,
  };
}

function headOf({ pretext }: Plan): ModelCard["training"]["head"] {
  const taught = taughtIn(pretext);
  return taught === null ? null : (taught.head ?? "shared");
}

/** Strings only: what the metadata of a weights file can carry. */
export function originOf({
  checkpoint,
  record,
}: Pick<CardSources, "checkpoint" | "record">): Readonly<Record<string, string>> {
  if (record === null) return { checkpoint, trained: "at one site" };
  const { federation, round, planHash, average } = record;
  const averaged = average && { average: `of ${average.models} global models, decay ${average.decay}` };
  return {
    checkpoint,
    trained: "by a federation",
    federation,
    round: String(round),
    plan: planHash,
    ...averaged,
  };
}

/** What a card lies beside. */
export type EncoderFormat = "safetensors" | "onnx";

/** The same for people. */
export function describeCard(card: ModelCard, format: EncoderFormat): string {
  const { title, licence, training, lineage, evaluation, weights } = card;
  return [
    "---",
    `license: ${licence === null ? "unknown" : yamlText(licence)}`,
    "library_name: timm",
    "tags: [medical-imaging, self-supervised, federated-learning, vision-transformer]",
    "---",
    "",
    `# ${title}`,
    "",
    `An image encoder (Vision Transformer, ${(weights / 1e6).toFixed(1)} million weights) that ${learned(training)}. Images did not leave the hospitals.`,
    "",
    "## Use",
    "",
    ...howToUse(card, format),
    "",
    "It gives features, not findings: train a head on labels of your own, and test it on your own patients. It is not a medical device.",
    "",
    "## Training",
    "",
    ...table(["", ""], trainingRows(card)),
    "",
    "## Evaluation",
    "",
    ...(evaluation === null ? ["None was given with this file."] : describeEvaluation(evaluation)),
    "",
    "## Lineage",
    "",
    ...table(
      ["", "SHA-256"],
      [
        ["checkpoint", code(lineage.checkpoint)],
        ["made from", lineage.parent === null ? "random weights" : code(lineage.parent)],
        ["plan", code(lineage.plan)],
        ["training began with", lineage.start === null ? "random weights" : code(lineage.start.sha256)],
      ],
    ),
    ...(lineage.start === null
      ? []
      : ["", `Where that came from, as the plan says: ${lineage.start.origin}.`]),
    "",
    "## Licence",
    "",
    licence ?? "Not stated. Ask the federation before you pass this file on.",
    "",
  ].join("\n");
}

const TASK_TEXT: Readonly<Partial<Record<string, string>>> = {
  mae: "learned to fill in hidden parts of unlabelled images",
  classify: "learned to tell classes apart from labelled images",
  findings: "learned from labelled images to tell whether findings are there",
  masks: "learned from images with masks where things are",
};

const HEAD_TEXT = {
  shared: "learned by all sites together; it is in the federation's checkpoint and not in this file",
  site: "each site kept one of its own; none is in this file",
} as const;

function learned({ pretext, sites, round }: ModelCard["training"]): string {
  const what = TASK_TEXT[pretext.task] ?? `learned from unlabelled images (${pretext.task})`;
  if (round === null) return `${what} at one hospital`;
  return `${what} at ${counted(sites, "hospital")} together, in ${counted(round, "round")}`;
}

const LOADING: Readonly<Record<EncoderFormat, readonly string[]>> = {
  safetensors: [
    "import json, safetensors.torch, timm",
    'card = json.load(open(FILE + ".json"))',
    'model = timm.models.vision_transformer.VisionTransformer(**card["timm"])',
    "model.load_state_dict(safetensors.torch.load_file(FILE))",
  ],
  onnx: [
    "import onnxruntime",
    "session = onnxruntime.InferenceSession(FILE)",
    'features, tokens = session.run(["features", "tokens"], {"pixels": PIXELS})',
  ],
};

function howToUse({ input, grey }: ModelCard, format: EncoderFormat): readonly string[] {
  const ranges = Object.entries(grey).map(([modality, profile]) => `${modality} ${profile.range}`);
  return [
    "```python",
    ...LOADING[format],
    "```",
    "",
    `Input: ${counted(input.channels, "channel")}, ${input.intensity}; ${format === "onnx" ? "standardised inside, do not do it yourself" : input.normalisation}. Grey ranges by modality: ${ranges.join(", ")} (the JSON has the numbers).`,
  ];
}

function trainingRows({ training }: ModelCard): readonly (readonly string[])[] {
  const { pretext, round, rounds, images, patients, strategy, secureAggregation, privacy } = training;
  const { average, lowRank, head } = training;
  return [
    ["pretext task", pretext.task],
    ...(images === null
      ? []
      : [["images", `about ${images.toLocaleString("en")}, of the sites in its last round`]]),
    ...(patients === null
      ? []
      : [["patients", `about ${patients.toLocaleString("en")}; one of two sites counts twice`]]),
    ...(head === null ? [] : [["head", HEAD_TEXT[head]]]),
    ...(lowRank === null
      ? []
      : [["low rank", `each round moved the matrices of its blocks by factors of rank ${lowRank}`]]),
    ["rounds", round === null ? "none: one site alone" : `${round} of ${rounds} planned`],
    ["aggregation", strategy],
    ...(average === null
      ? []
      : [["weights", `running average of ${average.models} global models, decay ${average.decay}`]]),
    [
      "updates",
      secureAggregation === "masked"
        ? "seen by nobody singly (secure aggregation)"
        : "readable by the coordinator",
    ],
    ["differential privacy", privacyText(privacy)],
  ];
}

function privacyText(privacy: Plan["privacy"]): string {
  if (privacy.unit === "none") return "none";
  const { noiseMultiplier, targetEpsilon, delta } = privacy;
  const noise =
    targetEpsilon === undefined
      ? `noise multiplier ${noiseMultiplier ?? 0}`
      : `epsilon at most ${targetEpsilon} at each site`;
  return `by ${privacy.unit}: ${noise}, delta ${delta}`;
}

function describeEvaluation({ task, labels, test, testSource, rows }: Evaluation): readonly string[] {
  const measures = [...new Set(rows.flatMap((row) => Object.keys(row.measures)))];
  const lacking = rows.some((row) => Object.values(row.measures).some(({ low }) => low === null));
  const seen = testSource === "split" ? " The encoder may have seen the test images, without labels." : "";
  return [
    `At one hospital: ${task}, trained on ${counted(labels.images, "label")} (${counted(labels.patients, "patient")}), tested on ${counted(test.images, "image")} (${counted(test.patients, "patient")}). 95 % intervals, by patient.${lacking ? ` ${NO_INTERVAL}` : ""}${seen}`,
    "",
    ...table(
      ["encoder", "trained", "seeds", ...measures],
      rows.map(({ from, mode, seeds, measures: found }) => [
        from === "global" ? "this one" : from,
        MODE_TEXT[mode],
        String(seeds),
        ...measures.map((name) => interval(found[name])),
      ]),
    ),
  ];
}

const interval = (estimate: Evaluation["rows"][number]["measures"][string] | undefined): string =>
  estimate === undefined ? "" : `${estimate.value.toFixed(3)} ${boundsText(estimate)}`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);

const code = (text: string): string => `\`${text}\``;
const yamlText = (text: string): string => JSON.stringify(text);
