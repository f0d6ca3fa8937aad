/**
 * What leaves a site under a plan, in words for whoever approves it. One text for the site's terminal, its JSON and the
 * dashboard. Importable by a browser.
 */
import { FINGERPRINT_LENGTH, GROUPS } from "./fingerprint/layout.ts";
import { healthFields } from "./health/extras.ts";
import { looksAtHealth } from "./health/looks.ts";
import type { Plan } from "./plan-schema.ts";
import { fewestInSum, groupSitesOf } from "./strategy-schema.ts";
import { formatBytes } from "./units.ts";

/** In the order in which they are read. */
export type LeavingWhen = "once" | "each-round" | "after-last-round" | "in-clear";

export interface Leaving {
  readonly when: LeavingWhen;
  /** A sentence each. */
  readonly items: readonly string[];
}

/** How many weights a plan's model has; null where nobody knows yet. */
export interface PlanWeights {
  readonly all: number | null;
  /** Of them, those that travel in an update. */
  readonly sent: number | null;
}

/** Numbers beside the update travel in 32 bits (secagg/levels.ts). */
const NUMBER_BYTES = 4;

/** Empty sections are left out. */
export function whatLeaves(plan: Plan, weights: PlanWeights): readonly Leaving[] {
  const sections: readonly Leaving[] = [
    { when: "once", items: once(plan, weights) },
    { when: "each-round", items: eachRound(plan, weights) },
    { when: "after-last-round", items: afterLastRound(plan, weights) },
    { when: "in-clear", items: inClear(plan) },
  ];
  return sections.filter(({ items }) => items.length > 0);
}

const isMasked = ({ aggregation }: Plan): boolean => aggregation.secure === "masked";

function once(plan: Plan, { all }: PlanWeights): readonly string[] {
  const titles = GROUPS.map(({ title }) => title).join(", ");
  const sum = isMasked(plan)
    ? "masked: the coordinator learns the sum of all sites and no single one"
    : "encrypted for the coordinator, which can read them";
  const size = all === null ? "" : `, ${formatBytes(all * NUMBER_BYTES)}`;
  return [
    `Histograms of what the images are like (${titles}; ${FINGERPRINT_LENGTH} numbers, below 2 kB), ${sum}.`,
    `From one site, the model that the federation starts from, as every site derives it from the plan${size}; it knows nothing of an image.`,
  ];
}

function eachRound(plan: Plan, { sent }: PlanWeights): readonly string[] {
  const size = sent === null ? "" : `, ${updateSize(plan, sent)} a round`;
  const update = `Weight updates: the change of the weights that are trained${size}`;
  if (!isMasked(plan)) {
    return [
      `${update}, encrypted for the coordinator and signed; NOT MASKED: the coordinator can read them.`,
      "With them, readable as well: number of images, steps, losses, length of the update, duration of the training.",
      ...health(plan, "readable by the coordinator"),
      ...heldOut(plan),
    ];
  }
  return [
    `${update}, each under masks that cancel only in the sum with the others, and signed.`,
    `In the same masked sum: ${countsAlike(plan) ? "" : "number of images, "}steps, losses, length of the update.`,
    ...health(plan, "in the same masked sum"),
    ...evaluation(plan),
    ...heldOut(plan),
    "What the masks need: public keys of the round, shares of its secrets sealed for other sites, signatures; some kB, more with many sites.",
  ];
}

/** Where whole sites are protected. */
const countsAlike = ({ privacy }: Plan): boolean => privacy.unit === "site";

const updateSize = ({ aggregation }: Plan, sent: number): string =>
  `about ${formatBytes((sent * (aggregation.secure === "masked" ? aggregation.linkBits : 32)) / 8)}`;

function health(plan: Plan, how: string): readonly string[] {
  if (!looksAtHealth(plan)) return [];
  const numbers = healthFields(plan).reduce((sum, { length }) => sum + length, 0);
  const size = isMasked(plan) ? `${numbers} numbers, ${formatBytes(numbers * NUMBER_BYTES)}; ` : "";
  return [
    `Health of the encoder, as means over up to ${plan.health?.images ?? 0} images (${size}${how}): how its features are spread, how far two views of an image lie apart, the loss on images set aside and, where the site has labels, the share of them that the features get right and that of the commonest.`,
  ];
}

/** From patients, labels and masks that people drew; only where the plan asks. Such plans mask. */
function evaluation(plan: Plan): readonly string[] {
  if (!looksAtHealth(plan)) return [];
  const { evaluation: scores = plan.health?.findings, masks, patients = false } = plan.health ?? {};
  return [
    ...(patients
      ? [
          "On how many patients the site trains, in the same masked sum: the coordinator learns how many all sites have together, and signs it to two digits.",
        ]
      : []),
    ...(scores === undefined
      ? []
      : [
          `Where the site has labels ${scores.classes.join(", ")}: how many images labelled so score how high, in the same masked sum; they give the AUROC of all sites together.`,
        ]),
    ...(masks === undefined
      ? []
      : [
          `Where the site has masks of ${masks.classes.join(", ")}: how much of them is found, in the same masked sum; the counts give the Dice of all sites together.`,
        ]),
  ];
}

function heldOut(plan: Plan): readonly string[] {
  if (plan.acceptance === null) return [];
  const share = +(100 * plan.acceptance.heldOutShare).toFixed(1);
  return [
    `Patients held out: ${share} % of this site's, drawn here, are never trained on. Each model is tried on them, and the mean loss travels ${isMasked(plan) ? "in the same masked sum" : "with the update"}.`,
  ];
}

function afterLastRound(plan: Plan, { sent }: PlanWeights): readonly string[] {
  if (plan.acceptance === null) return [];
  const size = sent === null ? "as large as an update" : `${updateSize(plan, sent)}, like an update`;
  return [
    `Trying the last model: one more exchange (${size}) after round ${plan.rounds}. Nobody trains: the update in it is zero, and the loss on patients held out travels once more.`,
  ];
}

function inClear(plan: Plan): readonly string[] {
  const readable = "To the coordinator, readable";
  return [
    `${readable}: who takes part (name, public keys), when it is connected, phase and ${isMasked(plan) ? "percent of its progress" : "its progress in steps, with the loss"} in a round, size and time of each message.`,
    `${readable}: version of the software, and why the site waits (approval, hours of work, bytes of a day) or drops out of a round.`,
    ...(isMasked(plan)
      ? [
          `${readable}, once and signed: how far this site's images are from the others' (${GROUPS.length} numbers from 0 to 1, to two decimals).`,
        ]
      : []),
    "Signed: proofs of the site's key, its signatures for sites that join, and under the coordinator's audit log.",
  ];
}

/** What stays, whatever the plan says. */
export const WHAT_STAYS =
  "Images, labels, masks, patients' data, names, dates, ids and DICOM headers: they leave in no form but the sums above.";

export interface Reading {
  readonly text: string;
  /** To be read before anything else. */
  readonly isWarning: boolean;
}

/** Said plainly wherever the plan is summarised. */
export function whatTheCoordinatorCanRead(plan: Plan): Reading {
  if (!isMasked(plan))
    return {
      text: "Not masked: under this plan the coordinator can read each site's update.",
      isWarning: true,
    };
  const sum =
    groupSitesOf(plan.aggregation.strategy) === undefined
      ? "the sum of the sites' updates"
      : `the sum of each group, of as few as ${fewestInSum(plan)} sites`;
  return {
    text: `The coordinator sees ${sum}, and no single update (secure aggregation).`,
    isWarning: false,
  };
}

const TITLES: Readonly<Record<LeavingWhen, string>> = {
  once: "Leaves a site once",
  "each-round": "Leaves a site each round",
  "after-last-round": "Leaves it after the last round",
  "in-clear": "In clear",
};

export const leavingTitle = (when: LeavingWhen): string => TITLES[when];
