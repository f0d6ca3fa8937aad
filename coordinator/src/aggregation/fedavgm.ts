/** Federated averaging with momentum at the coordinator (Hsu, Qi and Brown 2019, section 4.3): v <- beta v + mean. */
import { vectorOf, type ServerStep } from "./server-step.ts";

export interface FedAvgMSettings {
  readonly learningRate: number;
  /** beta: share of the running sum that is kept. */
  readonly momentum: number;
}

export function fedavgm({ learningRate, momentum }: FedAvgMSettings): ServerStep {
  return {
    init: (length) => new Map([["velocity", new Float32Array(length)]]),
    update({ base, mean, state }) {
      const velocity = vectorOf(state, "velocity");
      return base.map((weight, i) => {
        const next = Math.fround(momentum * (velocity[i] ?? NaN) + (mean[i] ?? NaN));
        velocity[i] = next;
        return weight + learningRate * next;
      });
    },
  };
}
