import { describe, expect, it } from "vitest";
import { summarise, type Comparison } from "./results.ts";
import { renderTable } from "./table.ts";
import type { EncoderOrigin } from "./report/types.ts";

function compared(name: string, aurocs: Partial<Record<EncoderOrigin, number>>): Comparison {
  const size = { images: 24, patients: 20 };
  return {
    name,
    labels: size,
    test: size,
    encoders: (Object.entries(aurocs) as [EncoderOrigin, number][]).map(([from, value]) => ({
      from,
      seeds: 1,
      auroc: { value, low: value - 0.1, high: value + 0.1 },
      accuracy: { value: 0.5, low: 0.4, high: 0.6 },
      gain: null,
    })),
  };
}

const SITES = [
  compared("hospital-a", { scratch: 0.6, own: 0.7, global: 0.8 }),
  compared("hospital-b", { scratch: 0.5, own: 0.6, global: 0.9 }),
];

describe("the summary", () => {
  it("takes means over the sites and their differences", () => {
    const { sites, loss, pooled } = summarise([1, 0.8, 0.6], SITES, null);
    expect(sites.scratch).toBeCloseTo(0.55);
    expect(sites.federatedMinusScratch).toBeCloseTo(0.3);
    expect(sites.federatedMinusOwn).toBeCloseTo(0.2);
    expect(loss).toMatchObject({ first: 1, last: 0.6 });
    expect(loss.fall).toBeCloseTo(0.4);
    expect(pooled).toBeNull();
  });

  it("keeps the pooled labels apart from the sites", () => {
    const summary = summarise([1], SITES, compared("pooled", { scratch: 0.6, global: 0.9 }));
    expect(summary.sites.scratch).toBeCloseTo(0.55);
    expect(summary.pooled?.federatedMinusScratch).toBeCloseTo(0.3);
    expect(summary.loss.fall).toBeNull();
  });

  it("leaves open what was not tried", () => {
    const { sites } = summarise([], [compared("hospital-a", { scratch: 0.6, global: 0.8 })], null);
    expect(sites.own).toBeNull();
    expect(sites.federatedMinusOwn).toBeNull();
  });
});

describe("the table", () => {
  it("has a line for each site, the mean and the pooled labels, all of one width", () => {
    const pooled = compared("pooled", { scratch: 0.6, global: 0.9 });
    const text = renderTable(summarise([1, 0.5], SITES, pooled));
    for (const words of [
      "hospital-a",
      "hospital-b",
      "mean of the sites",
      "all labels pooled *",
      "possible only in a demo",
    ]) {
      expect(text).toContain(words);
    }
    expect(text).toContain("0.800 [0.70–0.90]");
    const columns = text.split("\n").map((line) => line.indexOf("0."));
    expect(new Set(columns.filter((column) => column > 0)).size).toBe(1);
  });

  it("has no column for an encoder that was not tried", () => {
    const text = renderTable(summarise([1], [compared("hospital-a", { scratch: 0.6, global: 0.8 })], null));
    expect(text).not.toContain("own encoder");
  });
});
