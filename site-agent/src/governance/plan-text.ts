/** A plan as a person reads it before they approve it: what is trained, what leaves, who can see what. */
import { ENCODER_DEPTHS, ENCODER_WIDTHS } from "@consilium/shared/encoder-sizes";
import type { Plan } from "@consilium/shared/plan";
import { planHash } from "@consilium/shared/plan";
import {
  WHAT_STAYS,
  whatLeaves,
  whatTheCoordinatorCanRead,
  type LeavingWhen,
  type PlanWeights,
} from "@consilium/shared/plan-leaves";
import { pretextInWords } from "@consilium/shared/pretext-words";
import { describeStrategy, groupSitesOf } from "@consilium/shared/strategy-schema";
import { counted, formatBytes } from "@consilium/shared/units";
import { shortHash } from "./gate.ts";

type Line = readonly [label: string, text: string];

const UNKNOWN: PlanWeights = { all: null, sent: null };

/** Label and text of each line; a line without a label goes on with the one before. */
function planLines(plan: Plan, weights: PlanWeights): readonly Line[] {
  const { model, training, pretext, volume } = plan;
  const size = volume === null ? `${model.imagePx} px` : `${model.imagePx} px, ${model.depthPx} slices`;
  return [
    ["title", plan.title],
    ["federation", plan.federation],
    [
      "rounds",
      `${plan.rounds}, each with at least ${plan.minSites} sites and at most ${minutes(plan.roundDeadlineMs)}${early(plan)}`,
    ],
    ["learns", learns(pretext)],
    [
      "model",
      `a vision transformer: a network that reads an image in patches. Size ${model.size}: ${ENCODER_WIDTHS[model.size]} wide, ${ENCODER_DEPTHS[model.size]} layers${weights.all === null ? "" : `, ${weights.all} weights`}; on images of ${size}`,
    ],
    ["starts from", startsFrom(plan)],
    ...(plan.average === undefined
      ? []
      : [["ends with", `a running average of the global models, decay ${plan.average.decay}`] as const]),
    [
      "here",
      `in each round ${counted(training.localEpochs, "pass", "passes")} over this site's images in batches of ${training.batchSize}, on this machine`,
    ],
    ["together", describeStrategy(plan.aggregation.strategy)],
    ...frozen(plan),
    ...lowRank(plan),
    ["who reads", reading(plan)],
    ...leaving(plan, weights),
    ["privacy", privacyText(plan)],
    ["stays", WHAT_STAYS],
  ];
}

/** @param weights how many the model has, where that is known; for the sizes of what leaves */
export function planText(plan: Plan, weights = UNKNOWN): string {
  const lines = planLines(plan, weights).map(([label, text]) => `  ${label.padEnd(12)} ${text}`);
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

const learns = (pretext: Plan["pretext"]): string =>
  `${pretextInWords(pretext)}${"classes" in pretext ? "" : " No label is used."} (${pretext.task})`;

function reading(plan: Plan): string {
  const { text } = whatTheCoordinatorCanRead(plan);
  return groupSitesOf(plan.aggregation.strategy) === undefined
    ? text
    : `${text} Groups are drawn anew each round; this site's floor (consilium-site policy --min-cohort) is held against that number.`;
}

const LEAVING: Readonly<Record<LeavingWhen, string>> = {
  once: "leaves once",
  "each-round": "each round",
  "after-last-round": "after last",
  "in-clear": "in clear",
};

const leaving = (plan: Plan, weights: PlanWeights): readonly Line[] =>
  whatLeaves(plan, weights).flatMap(({ when, items }) =>
    items.map((item, at): Line => [at === 0 ? LEAVING[when] : "", `- ${item}`]),
  );

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
