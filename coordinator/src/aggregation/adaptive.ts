/**
 * Adaptive steps at the coordinator (Reddi et al. 2021, algorithm 2): the mean update is taken for a gradient, and each
 * weight has a length of step of its own. There is no bias correction, as in the paper.
 */
import { vectorOf, type ServerStep } from "./server-step.ts";

export interface AdaptiveSettings {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly tau: number;
}

/** @param nextSecond of the second moment and the squared mean */
export function adaptiveStep(
  { learningRate, beta1, tau }: AdaptiveSettings,
  nextSecond: (second: number, square: number) => number,
): ServerStep {
  return {
    // v starts at tau^2, the least that the paper allows.
    init: (length) =>
      new Map([
        ["first", new Float32Array(length)],
        ["second", new Float32Array(length).fill(tau * tau)],
      ]),
    update({ base, mean, state }) {
      const [first, second] = [vectorOf(state, "first"), vectorOf(state, "second")];
      return base.map((weight, i) => {
        const moved = mean[i] ?? NaN;
        const m = Math.fround(beta1 * (first[i] ?? NaN) + (1 - beta1) * moved);
        const v = Math.fround(nextSecond(second[i] ?? NaN, moved * moved));
        first[i] = m;
        second[i] = v;
        return weight + (learningRate * m) / (Math.sqrt(v) + tau);
      });
    },
  };
}
