import { expect, it } from "vitest";
import { describeBetter, describeKept, isKept, keptNetwork, withoutFall } from "./kept.ts";
import type { EncoderOrigin, MeasuredResult } from "./types.ts";

const estimate = (value: number) => ({ value, low: value, high: value });

function result(scratch: number, global: number, losses: readonly number[] = [1, 0.2]): MeasuredResult {
  const run = (from: EncoderOrigin, value: number) => ({
    from,
    mode: "finetune" as const,
    seed: 1,
    measures: { dice: estimate(value) },
  });
  const runs = [run("scratch", scratch), run("global", global)];
  const labels = { images: 4, patients: 4 };
  return {
    task: "segmentation",
    classes: ["lung"],
    labels,
    test: labels,
    testSource: "cache",
    measures: ["dice"],
    rows: runs,
    summary: runs.map((row) => ({ ...row, seeds: 1, gain: null })),
    differences: [],
    details: runs.map(({ from, mode, seed }) => ({
      from,
      mode,
      seed,
      labels,
      curves: [],
      losses,
      choice: null,
    })),
  };
}

it("says which network is kept, and names a better one with how to keep that", () => {
  const kept = keptNetwork(result(0.846, 0.75), { from: "global", mode: "finetune" });
  expect(describeKept(kept)).toBe("federated encoder, whole network, seed 1, Dice 0.750");
  expect(describeBetter(kept)).toContain("from scratch, whole network was better: Dice 0.846 against 0.750");
  expect(describeBetter(kept)).toContain("--save-from scratch --save-mode finetune");
  const best = keptNetwork(result(0.7, 0.75), { from: "global", mode: "finetune" });
  expect(describeBetter(best)).toBeNull();
});

it("chooses by encoder and mode, where they are said", () => {
  const run = { from: "global", mode: "finetune" } as const;
  expect(isKept({ keep: { from: null, mode: null } }, run)).toBe(true);
  expect(isKept({ keep: { from: "scratch", mode: null } }, run)).toBe(false);
  expect(isKept({ keep: { from: null, mode: "probe" } }, run)).toBe(false);
});

it("remarks on a training whose loss did not fall", () => {
  expect(withoutFall(result(0.5, 0.5, [0.693, 0.694]))).toHaveLength(2);
  expect(withoutFall(result(0.5, 0.5, [0.693, 0.4]))).toEqual([]);
  expect(withoutFall(result(0.5, 0.5, []))).toEqual([]);
});
