/** The plan in a clinician's words. Pure. */
import type { Plan } from "@consilium/shared/plan-schema";
import { pretextInWords } from "@consilium/shared/pretext-words";
import { leavingTitle, WHAT_STAYS, whatLeaves } from "@consilium/shared/plan-leaves";
import { describeStrategy } from "@consilium/shared/strategy-schema";
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
    ...whatLeaves(plan, { all: parameters, sent }).map(({ when, items }) => ({
      label: leavingTitle(when),
      text: items.join("\n"),
    })),
    { label: "Stays", text: WHAT_STAYS },
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
