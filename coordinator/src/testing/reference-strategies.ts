/** Strategies as their papers have them: plain arrays in float64, one round after the other. For tests alone. */
import type { StrategyPlan } from "@consilium/shared/strategy-schema";
import type { Vectors } from "../aggregation/strategy.contract.ts";

const at = (vector: ArrayLike<number> | undefined, i: number): number => vector?.[i] ?? NaN;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);

export function referenceModel(
  strategy: StrategyPlan,
  base: readonly number[],
  rounds: readonly Vectors[],
): number[] {
  let x = [...base];
  let m = x.map(() => 0);
  let v = x.map(() => ("tau" in strategy ? strategy.tau ** 2 : 0));
  for (const round of rounds) {
    const d = combined(strategy, round);
    if (strategy.name === "fedavgm") {
      m = m.map((old, i) => strategy.momentum * old + at(d, i));
      x = x.map((old, i) => old + strategy.learningRate * at(m, i));
    } else if (strategy.name === "fedadam" || strategy.name === "fedyogi") {
      const { beta1, beta2, learningRate, tau } = strategy;
      m = m.map((old, i) => beta1 * old + (1 - beta1) * at(d, i));
      const squares = d.map((one) => one ** 2);
      v = v.map((old, i) =>
        strategy.name === "fedadam"
          ? beta2 * old + (1 - beta2) * at(squares, i)
          : old - (1 - beta2) * at(squares, i) * Math.sign(old - at(squares, i)),
      );
      x = x.map((old, i) => old + (learningRate * at(m, i)) / (Math.sqrt(at(v, i)) + tau));
    } else x = x.map((old, i) => old + at(d, i));
  }
  return x;
}

function combined(strategy: StrategyPlan, { base, updates, examples }: Vectors): number[] {
  const perWeight = (centre: (column: number[]) => number): number[] =>
    Array.from(base, (_, i) => centre(updates.map((update) => at(update, i))));
  switch (strategy.name) {
    case "group-median":
    case "median":
      return perWeight((column) => {
        const sorted = ascending(column);
        const half = (sorted.length - 1) / 2;
        return (at(sorted, Math.floor(half)) + at(sorted, Math.ceil(half))) / 2;
      });
    case "trimmed-mean":
      return perWeight((column) => {
        const cut = Math.floor(strategy.trim * column.length);
        const left = ascending(column).slice(cut, column.length - cut);
        return sum(left) / left.length;
      });
    case "krum":
    case "multi-krum": {
      const near = updates.length - strategy.byzantine - 2;
      const scores = updates.map((one, i) => {
        const distances = updates
          .filter((_, j) => j !== i)
          .map((other) => sum(Array.from(one, (value, k) => (value - at(other, k)) ** 2)));
        return sum(ascending(distances).slice(0, near));
      });
      const limit = at(ascending(scores), strategy.name === "krum" ? 0 : near - 1);
      const chosen = updates.filter((_, i) => at(scores, i) <= limit);
      return Array.from(base, (_, i) => sum(chosen.map((update) => at(update, i))) / chosen.length);
    }
    default: {
      const total = sum(examples);
      return Array.from(base, (_, i) =>
        sum(updates.map((update, k) => (at(examples, k) / total) * at(update, i))),
      );
    }
  }
}
