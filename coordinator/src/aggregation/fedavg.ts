/** Federated averaging (McMahan et al. 2017, algorithm 1): base + the mean of the updates, weighted by examples. */
import type { Strategy } from "./strategy.ts";

export const fedavg: Strategy = {
  init: () => new Map(),
  update: ({ base, mean }) => base.map((weight, i) => weight + (mean[i] ?? NaN)),
};
