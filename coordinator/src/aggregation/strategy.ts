/** How contributions become the next global model: updates are combined into one, and that one moves the model. */
import type { StrategyPlan } from "@consilium/shared/strategy-schema";
import { fedadam } from "./fedadam.ts";
import { fedavg } from "./fedavg.ts";
import { fedavgm } from "./fedavgm.ts";
import { fedyogi } from "./fedyogi.ts";
import { krum, multiKrum } from "./krum.ts";
import { median, trimmedMean } from "./order-statistics.ts";
import type { ServerStep } from "./server-step.ts";
import type { Combine } from "./update-set.ts";
import { weightedMean } from "./weighted-mean.ts";

export interface Strategy {
  /** Under masks one sum has been combined already, and this is not asked; the means of several groups are. */
  readonly combine: Combine;
  readonly step: ServerStep;
}

export function strategyFor(plan: StrategyPlan): Strategy {
  switch (plan.name) {
    case "fedavg":
      return { combine: weightedMean, step: fedavg };
    case "fedavgm":
      return { combine: weightedMean, step: fedavgm(plan) };
    case "fedadam":
      return { combine: weightedMean, step: fedadam(plan) };
    case "fedyogi":
      return { combine: weightedMean, step: fedyogi(plan) };
    // Of the groups' means, each of which stands for an update.
    case "group-median":
    case "median":
      return { combine: median, step: fedavg };
    case "trimmed-mean":
      return { combine: trimmedMean(plan.trim), step: fedavg };
    case "krum":
      return { combine: krum(plan.byzantine), step: fedavg };
    case "multi-krum":
      return { combine: multiKrum(plan.byzantine), step: fedavg };
  }
}
