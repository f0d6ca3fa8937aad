/** How updates become the next global model, as a plan says it. See docs/strategies.md for what each is for. */
import { z } from "zod";
import { fewestInGroup, MIN_GROUP_SITES, MIN_GROUPS } from "./secagg/threshold.ts";

/** A share of what was, below 1: a sum with nothing forgotten grows without end. */
const decay = z.number().min(0).max(0.9999);

/** Reddi et al. 2021, algorithm 2; the defaults are in the middle of what section 5 tries. */
const adaptive = {
  learningRate: z.number().positive().max(10).default(0.01),
  beta1: decay.default(0.9),
  beta2: decay.default(0.99),
  /** How far a weight must have moved to count as moving; the smaller, the more alike all weights move. */
  tau: z.number().positive().max(1).default(1e-3),
} as const;

/** Beyond, a site would share its keys with more than a hundred others. */
const MOST_GROUP_SITES = 64;

/** Sites that may send anything at all. */
const byzantine = z.int().min(1).max(1000).default(1);

const strategyWithSettingsSchema = z.discriminatedUnion("name", [
  /** A running sum of updates moves the model (Hsu et al. 2019). */
  z.strictObject({
    name: z.literal("fedavgm"),
    learningRate: z.number().positive().max(10).default(1),
    momentum: decay.default(0.9),
  }),
  z.strictObject({ name: z.literal("fedadam"), ...adaptive }),
  z.strictObject({ name: z.literal("fedyogi"), ...adaptive }),
  /** Of each weight by itself (Yin et al. 2018, definition 1). */
  z.strictObject({ name: z.literal("median") }),
  /** The mean without this share of the largest and of the smallest values (Yin et al. 2018, definition 2). */
  z.strictObject({ name: z.literal("trimmed-mean"), trim: z.number().positive().max(0.49).default(0.2) }),
  /** The one update that lies closest to most others (Blanchard et al. 2017). */
  z.strictObject({ name: z.literal("krum"), byzantine }),
  /** The mean of those that lie closest to most others. */
  z.strictObject({ name: z.literal("multi-krum"), byzantine }),
  /** Of each weight by itself, of the means of groups of sites, each under masks of its own. */
  z.strictObject({
    name: z.literal("group-median"),
    /** Fewest sites of a group; the larger, the better each hides, and the fewer groups there are to outvote one. */
    groupSites: z.int().min(MIN_GROUP_SITES).max(MOST_GROUP_SITES).default(MIN_GROUP_SITES),
  }),
]);

/** `fedavg`, the mean weighted by images, has no settings and is a word. */
export const strategySchema = z.union([z.literal("fedavg"), strategyWithSettingsSchema]);

/** With its settings. */
export type StrategyPlan = { readonly name: "fedavg" } | Readonly<z.infer<typeof strategyWithSettingsSchema>>;
/** Either form. */
export type StrategyInPlan = "fedavg" | StrategyPlan;
export type StrategyName = StrategyPlan["name"];

export const strategyOf = (strategy: StrategyInPlan): StrategyPlan =>
  strategy === "fedavg" ? { name: strategy } : strategy;

/** Whether the coordinator must see every update by itself, which masks are there to prevent. */
const NEEDS_EACH: Readonly<Record<StrategyName, boolean>> = {
  fedavg: false,
  fedavgm: false,
  fedadam: false,
  fedyogi: false,
  median: true,
  "trimmed-mean": true,
  krum: true,
  "multi-krum": true,
  "group-median": false,
};

export const needsEachUpdate = (strategy: StrategyInPlan): boolean => NEEDS_EACH[strategyOf(strategy).name];

/** Fewest sites of a group, of strategies that look at the sums of groups; undefined where there is one sum. */
export function groupSitesOf(strategy: StrategyInPlan): number | undefined {
  const settings = strategyOf(strategy);
  return settings.name === "group-median" ? settings.groupSites : undefined;
}

/** Fewest sites behind a sum that the coordinator opens, where the plan masks. */
export function fewestInSum({
  aggregation: { strategy },
  minSites,
}: {
  readonly aggregation: { readonly strategy: StrategyInPlan };
  readonly minSites: number;
}): number {
  const groupSites = groupSitesOf(strategy);
  return groupSites === undefined ? minSites : fewestInGroup(groupSites);
}

/** With fewer sites its promise does not hold. Krum: 2f + 3 (Blanchard et al. 2017, proposition 4.2). */
export function fewestSites(strategy: StrategyInPlan): number {
  const settings = strategyOf(strategy);
  switch (settings.name) {
    case "krum":
    case "multi-krum":
      return 2 * settings.byzantine + 3;
    case "median":
    case "trimmed-mean":
      return 3;
    case "group-median":
      return MIN_GROUPS * settings.groupSites;
    case "fedavg":
    case "fedavgm":
    case "fedadam":
    case "fedyogi":
      return 1;
  }
}

/** For people: what becomes of the updates. */
export function describeStrategy(strategy: StrategyInPlan): string {
  const settings = strategyOf(strategy);
  switch (settings.name) {
    case "fedavg":
      return "The updates are averaged, weighted by images (federated averaging).";
    case "fedavgm":
      return `The updates are averaged, weighted by images; the model moves by ${settings.learningRate} times their running sum, of which ${settings.momentum} is kept from round to round (federated averaging with momentum).`;
    case "fedadam":
    case "fedyogi":
      return `The updates are averaged, weighted by images; the coordinator takes the mean as a gradient for a step of ${settings.name === "fedadam" ? "Adam" : "Yogi"} with learning rate ${settings.learningRate}.`;
    case "median":
      return "Each weight moves by the median of what the sites' updates say, each site counting alike: fewer than half of the sites cannot move it at will.";
    case "trimmed-mean":
      return `Each weight moves by the mean of what the sites' updates say, without the ${Math.round(settings.trim * 100)} % largest and smallest, each site counting alike.`;
    case "krum":
      return `The model moves by the one update that lies closest to most others; up to ${settings.byzantine} ${settings.byzantine === 1 ? "site" : "sites"} may send anything.`;
    case "multi-krum":
      return `The model moves by the mean of the updates that lie closest to most others; up to ${settings.byzantine} ${settings.byzantine === 1 ? "site" : "sites"} may send anything.`;
    case "group-median":
      return `Each round, chance divides the sites into groups of at least ${settings.groupSites}; each weight moves by the median of what the groups' means say, each group counting alike: sites in fewer than half of the groups cannot move it at will. The coordinator opens the sum of each group, of as few as ${fewestInGroup(settings.groupSites)} sites.`;
  }
}
