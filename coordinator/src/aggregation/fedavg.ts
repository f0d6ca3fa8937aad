/** Federated averaging (McMahan et al. 2017, algorithm 1): base + the mean of the updates. */
import type { ServerStep } from "./server-step.ts";

export const fedavg: ServerStep = {
  init: () => new Map(),
  update: ({ base, mean }) => base.map((weight, i) => weight + (mean[i] ?? NaN)),
};
