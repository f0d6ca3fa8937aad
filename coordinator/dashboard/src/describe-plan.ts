/** The plan in a clinician's words. Pure. */
import type { Plan } from "@consilium/shared/plan-schema";
import { pretextInWords } from "@consilium/shared/pretext-words";
import { describeStrategy, fewestInSum, groupSitesOf } from "@consilium/shared/strategy-schema";
import { formatBytes, formatDurationMs } from "@consilium/shared/units";
import { formatCount, formatShare, shortHash } from "./derive.ts";

export interface PlanLine {
  readonly label: string;
  readonly text: string;
}

/** Width / depth / heads, as in the plan's schema. */
const SIZES = {
  nano: "128 wide, 6 layers",
  tiny: "192 wide, 12 layers",
  small: "384 wide, 12 layers",
  base: "768 wide, 12 layers",
};

type PatientPrivacy = Extract<Plan["privacy"], { readonly unit: "patient" }>;

const PROTECTION = {
  masked:
    "each under masks that cancel only in the sum with the others, and signed; number of images and loss travel in the same sum. In clear: who takes part, and progress.",
  plain:
    "encrypted for the coordinator and signed; with them the number of images, the loss, timings and progress.",
};

/** A limit that someone chose, so mostly whole minutes. */
function limit(durationMs: number): string {
  const minutes = durationMs / 60_000;
  return Number.isInteger(minutes) && minutes < 60 ? `${minutes} min` : formatDurationMs(durationMs);
}

function describeInput(model: Plan["model"]): string {
  const { imagePx, patchPx, depthPx, patchDepthPx, channels } = model;
  const shown = channels === 1 ? "" : `, in ${channels} channels`;
  if (model.dimensions === 2)
    return `images of ${imagePx} × ${imagePx} in patches of ${patchPx} × ${patchPx} pixels${shown}`;
  return `volumes of ${depthPx} slices of ${imagePx} × ${imagePx} in patches of ${patchDepthPx} × ${patchPx} × ${patchPx} voxels${shown}`;
}

/** @param sent weights of an update: all, unless the plan freezes some */
export function describePlan(
  plan: Plan,
  parameters: number | null,
  sent: number | null = parameters,
): readonly PlanLine[] {
  const { model, pretext, training, aggregation } = plan;
  const weights = parameters === null ? "" : `, ${formatCount(parameters)} weights`;
  const lines: readonly PlanLine[] = [
    {
      label: "Model",
      text: `Vision transformer, ${model.size} (${SIZES[model.size]}${weights}); ${describeInput(model)}.`,
    },
    {
      label: "What it learns",
      text: `${pretextInWords(pretext)}${"classes" in pretext ? "" : " No label is used."}`,
    },
    {
      label: "At each site",
      text: `${training.localEpochs === 1 ? "One pass" : `${training.localEpochs} passes`} over its own images a round, ${training.batchSize} at a time; learning rate up to ${training.learningRate}; optimiser state ${training.optimizerState === "keep" ? "is kept between rounds" : "starts anew each round"}.`,
    },
    {
      label: "Together",
      text: `${describeStrategy(aggregation.strategy)} A round needs ${plan.minSites} ${plan.minSites === 1 ? "site" : "sites"} and closes after ${limit(plan.roundDeadlineMs)} at the latest.`,
    },
    ...describeBeginningAndEnd(plan),
    ...(plan.privacy.unit === "none" ? [] : [{ label: "Privacy", text: describePrivacy(plan.privacy) }]),
    ...describeEvaluation(plan),
    {
      label: "What leaves a site",
      text: `Weight updates${sent === null ? "" : ` (about ${formatBytes((sent * aggregation.linkBits) / 8)} a round)`}, ${PROTECTION[aggregation.secure]} Once, histograms of what the images are like. Images, labels, names and headers stay.`,
    },
  ];
  return lines.map(({ label, text }) => ({ label, text: keepUnitsWithNumbers(text) }));
}

/** From what it starts, what of that stays, when it ends and with what; only where the plan says other than usual. */
function describeBeginningAndEnd({ start, training, stop, average }: Plan): readonly PlanLine[] {
  const { frozenBlocks, lowRank } = training;
  const stays =
    frozenBlocks === undefined
      ? ""
      : ` Its patch projection${frozenBlocks === 0 ? "" : ` and the first ${frozenBlocks} of its blocks`} are not trained and travel in no update.`;
  const factors =
    lowRank === undefined
      ? ""
      : ` The matrices of its blocks move by factors of rank ${lowRank.rank}, and these travel in their place.`;
  const ends = [
    ...(stop === undefined
      ? []
      : [
          `After ${stop.patience} models in a row that are no better on patients held out than the best one, by ${formatShare(stop.minImprovement)}, it ends early, with the best.`,
        ]),
    ...(average === undefined
      ? []
      : [`The result is a running average of the global models (decay ${average.decay}).`]),
  ];
  return [
    ...(start === undefined
      ? []
      : [
          {
            label: "Starts from",
            text: `An existing model (${formatBytes(start.bytes)}, sha256 ${shortHash(start.sha256)}); origin: ${start.origin}.${stays}${factors}`,
          },
        ]),
    ...(ends.length === 0 ? [] : [{ label: "Ends", text: ends.join(" ") }]),
  ];
}

/** What follows from labels and from masks that people drew; only where the plan asks. */
function describeEvaluation({ health }: Plan): readonly PlanLine[] {
  const { evaluation = health?.findings, masks } = health ?? {};
  const texts = [
    ...(evaluation === undefined
      ? []
      : [
          `Where a site has labels ${evaluation.classes.join(", ")}, it counts how its images score; the counts travel under the same masks, and give the AUROC of all sites together.`,
        ]),
    ...(masks === undefined
      ? []
      : [
          `Where a site has masks of ${masks.classes.join(", ")}, it counts how much of them is found; the counts give the Dice of all sites together in the same way.`,
        ]),
  ];
  return texts.length === 0 ? [] : [{ label: "Evaluation", text: texts.join(" ") }];
}

type SitePrivacy = Extract<Plan["privacy"], { readonly unit: "site" }>;

function describePrivacy(privacy: PatientPrivacy | SitePrivacy): string {
  return privacy.unit === "patient" ? describePatients(privacy) : describeSites(privacy);
}

function describeSites({ clipL2Norm, noiseMultiplier, targetEpsilon, delta }: SitePrivacy): string {
  const noise =
    noiseMultiplier === undefined
      ? `as much noise as keeps each site within epsilon ${targetEpsilon ?? "?"} at delta ${delta}`
      : `noise of ${noiseMultiplier} times that norm`;
  return `Each site's update is cut to a norm of ${clipL2Norm}, and the sum is covered by ${noise}, which the sites add before they mask. With large models the noise is many times as long as what it hides. Sites count alike.`;
}

function describePatients({ clipL2Norm, noiseMultiplier, targetEpsilon, delta }: PatientPrivacy): string {
  const noise =
    noiseMultiplier === undefined
      ? `as much noise as keeps each site's patients within epsilon ${targetEpsilon ?? "?"} at delta ${delta}`
      : `noise of ${noiseMultiplier} times that norm`;
  return `What a step learns from one patient is cut to a norm of ${clipL2Norm}, and covered by ${noise}. Each site keeps its own account and may stop earlier.`;
}

/** Puts no-break spaces where a line must not end: "30 min", "64 × 64". */
function keepUnitsWithNumbers(text: string): string {
  return text.replace(/ (?=[×%])|(?<=×) |(?<=\d) (?=(?:min|h|s|[kMG]?B)\b)/g, "\u00a0");
}

export interface Reading {
  readonly text: string;
  /** To be read before anything else. */
  readonly isWarning: boolean;
}

/** Said plainly wherever the plan is summarised. */
export function whatTheCoordinatorCanRead(plan: Plan): Reading {
  const { secure, strategy } = plan.aggregation;
  if (secure === "plain")
    return {
      text: "Not masked: under this plan the coordinator can read each site's update.",
      isWarning: true,
    };
  const sum =
    groupSitesOf(strategy) === undefined
      ? "the sum of the sites' updates"
      : `the sum of each group of sites, of as few as ${fewestInSum(plan)}`;
  return {
    text: `The coordinator sees ${sum}, and no single update (secure aggregation).`,
    isWarning: false,
  };
}
