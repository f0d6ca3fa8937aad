/** A plan as a person reads it before they approve it: what is trained, what leaves, who can see what. */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import { findingEvaluationOf } from "@consilium/shared/evaluation/finding-extras";
import { maskEvaluationOf } from "@consilium/shared/evaluation/mask-extras";
import { countsPatients } from "@consilium/shared/health/patients";
import type { Plan } from "@consilium/shared/plan";
import { planHash } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { fewestInSum, groupSitesOf } from "@consilium/shared/strategy-schema";
import { counted, formatBytes } from "@consilium/shared/units";
import { shortHash } from "./gate.ts";

/** Label and text of each line. */
export function planLines(plan: Plan): readonly (readonly [string, string])[] {
  const { model, training, pretext, volume } = plan;
  const size = volume === null ? `${model.imagePx} px` : `${model.imagePx} px, ${model.depthPx} slices`;
  return [
    ["title", plan.title],
    ["federation", plan.federation],
    [
      "rounds",
      `${plan.rounds}, each with at least ${plan.minSites} sites and at most ${minutes(plan.roundDeadlineMs)}${early(plan)}`,
    ],
    ["learns", `${learns(pretext)}; a ${model.size} vision transformer on images of ${size}`],
    ["starts from", startsFrom(plan)],
    ...(plan.average === undefined
      ? []
      : [["ends with", `a running average of the global models, decay ${plan.average.decay}`] as const]),
    [
      "each round",
      `${training.localEpochs} passes over this site's images in batches of ${training.batchSize}, on this machine`,
    ],
    ...frozen(plan),
    ...lowRank(plan),
    ["leaves", leaves(plan)],
    ...evaluation(plan),
    ...(countsPatients(plan)
      ? [
          [
            "patients",
            "on how many this site trains, masked: the coordinator learns how many all sites have together, and signs it to two digits",
          ] as const,
        ]
      : []),
    ["privacy", privacyText(plan)],
    ["stays", "images, labels, patients' data and everything that names anyone"],
  ];
}

export function planText(plan: Plan): string {
  const lines = planLines(plan).map(([label, text]) => `  ${label.padEnd(12)} ${text}`);
  const hash = planHash(plan);
  return [...lines, `  ${"hash".padEnd(12)} ${hash}`, `  ${"short".padEnd(12)} ${shortHash(hash)}`].join(
    "\n",
  );
}

const early = ({ stop }: Plan): string =>
  stop === undefined
    ? ""
    : `; fewer if ${stop.patience} models in a row are not ${+(100 * stop.minImprovement).toFixed(2)} % better on patients held out than the best one`;

function startsFrom({ seed, start }: Plan): string {
  if (start === undefined) return `nothing: random weights, drawn alike at every site from the seed ${seed}`;
  const { sha256, bytes, origin } = start;
  return `an existing model of ${formatBytes(bytes)}, sha256 ${shortHash(sha256)}, which the site fetches from the coordinator and holds against this hash; origin, in the words of whoever wrote the plan: ${origin}; what it lacks is drawn from the seed ${seed}. What it has learned before is no part of this plan's privacy`;
}

function frozen({ training: { frozenBlocks } }: Plan): readonly (readonly [string, string])[] {
  if (frozenBlocks === undefined) return [];
  const blocks = frozenBlocks === 0 ? "" : ` and the first ${counted(frozenBlocks, "block")} of the encoder`;
  return [
    [
      "frozen",
      `patch projection${blocks}: they stay as the model that it starts from has them, and travel in no update`,
    ],
  ];
}

const lowRank = ({ training: { lowRank } }: Plan): readonly (readonly [string, string])[] =>
  lowRank === undefined
    ? []
    : [
        [
          "low rank",
          `the matrices of the encoder's blocks move by factors of rank ${lowRank.rank}, which travel in their place`,
        ],
      ];

const LEARNS = {
  classify: "from this site's labels to tell apart",
  findings: "from this site's labels whether an image shows",
  masks: "from this site's masks where an image shows",
} as const;

function learns(pretext: Plan["pretext"]): string {
  const taught = taughtIn(pretext);
  if (taught === null) return `${pretext.task}, without labels`;
  const { task, classes, head } = taught;
  return `${LEARNS[task]} ${classes.join(", ")}; the labels stay here${head === "site" ? ", and so does the head" : ""}`;
}

function leaves(plan: Plan): string {
  const { secure, strategy } = plan.aggregation;
  if (secure === "plain")
    return "the change of the weights, loss and number of images; NOT MASKED: the coordinator can read them";
  const groupSites = groupSitesOf(strategy);
  return groupSites === undefined
    ? "the change of the weights, masked: the coordinator learns the sum over all sites and no single one"
    : `the change of the weights, masked in groups of at least ${groupSites} sites that are drawn anew each round: the coordinator learns the sum of each group, of as few as ${fewestInSum(plan)} sites, and no single one; this site's floor (consilium-site policy --min-cohort) is held against that number`;
}

/** Only where the plan asks. */
function evaluation(plan: Plan): readonly (readonly [string, string])[] {
  const asked = evaluationOf(plan) ?? findingEvaluationOf(plan);
  const masks = maskEvaluationOf(plan);
  const ofMasks: readonly (readonly [string, string])[] =
    masks === null ? [] : [["evaluation", masksText(masks.classes)]];
  if (asked === null) return ofMasks;
  const text = `how many images labelled ${asked.classes.join(", ")} score how high, masked: the coordinator learns the counts of all sites together`;
  return [["evaluation", text], ...ofMasks];
}

const masksText = (classes: readonly string[]): string =>
  `how much of the masks of ${classes.join(", ")} is found, masked: the coordinator learns the counts of all sites together`;

/** What its noise bounds, in words. */
export function privacyText({ privacy: terms }: Plan): string {
  if (terms.unit === "none") return "no noise: what the model has learned from a patient is not bounded";
  const how =
    terms.targetEpsilon === undefined
      ? `noise of ${terms.noiseMultiplier ?? 0} times the clipped norm`
      : `noise for epsilon ${terms.targetEpsilon} at delta ${terms.delta} over all rounds`;
  return `each ${terms.unit} is protected: ${how}`;
}

const minutes = (ms: number): string => `${Math.ceil(ms / 60_000)} minutes`;
