/** Federated averaging (McMahan et al. 2017, algorithm 1): base + the mean of the updates. */
import type { ServerStep } from "./server-step.ts";

export const fedavg: ServerStep = {
  init: () => new Map(),
  update({ base, mean }) {
    const next = new Float32Array(base.length);
    for (let i = 0; i < next.length; i++) next[i] = (base[i] ?? NaN) + (mean[i] ?? NaN);
    return next;
  },
};
