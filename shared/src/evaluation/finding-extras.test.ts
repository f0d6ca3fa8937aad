import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePlan } from "../plan.ts";
import { roundExtras, roundLayout } from "../secagg/plan-layout.ts";
import { aurocOfCounts, countScores, type ScoreCounts } from "./auroc.ts";
import { evaluationOfSums } from "./extras.ts";
import type { SiteScores } from "./score-fields.ts";
import { findingsOfSums } from "./finding-extras.ts";

const classes = ["effusion", "nodule"];
const terms = { federation: "lungs", title: "Lungs", rounds: 3 };
const PLAN = parsePlan({
  ...terms,
  pretext: { task: "findings", classes },
  health: { findings: { classes } },
});
const metrics = { loss: 1, finalLoss: 1, updateNorm: 1, steps: 3, trainingMs: 1 };

/** What the coordinator has of these sites once their masks are gone. */
function summed(sites: readonly (SiteScores | null)[], plan = PLAN) {
  const sums: Record<string, Float64Array> = {};
  for (const scores of sites) {
    const health = { moments: null, heldOut: null, labelled: null, scores };
    for (const [name, values] of Object.entries(roundExtras(plan, metrics, health))) {
      const before = sums[name] ?? new Float64Array(values.length);
      sums[name] = before.map((value, i) => value + (values[i] ?? NaN));
    }
  }
  return sums;
}

const added = (all: readonly ScoreCounts[]): ScoreCounts => ({
  positives: all.map(({ positives }) => positives).reduce((a, b) => a.map((v, i) => v + (b[i] ?? NaN))),
  negatives: all.map(({ negatives }) => negatives).reduce((a, b) => a.map((v, i) => v + (b[i] ?? NaN))),
});

const scored = fc
  .array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1)), { maxLength: 20 })
  .map((pairs) =>
    countScores(
      pairs.map(([score]) => score),
      pairs.map(([, truth]) => truth),
    ),
  );

describe("how findings score at all sites", () => {
  it("is each finding's AUROC of all scores together, on as many images as know of it", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(scored, scored), { minLength: 1, maxLength: 3 }), (sites) => {
        const found = findingsOfSums(summed([...sites, null]));
        expect(found?.sites).toBe(sites.length);
        for (const [c, one] of (found?.classes ?? []).entries()) {
          const all = added(sites.map((site) => site[c as 0 | 1]));
          expect(one).toMatchObject({ class: classes[c], auroc: aurocOfCounts(all) });
        }
      }),
      { numRuns: 20 },
    );
  });

  it("is none where nobody has findings, and no field where the plan teaches something else", () => {
    const none = summed([null, null, null]);
    expect(findingsOfSums(none)).toBeNull();
    expect(evaluationOfSums(none)).toBeNull();
    const fields = (plan: typeof PLAN) =>
      roundLayout(plan, 1, 3, [{ name: "weight", shape: [3], largest: 0.5 }]).extras.filter(({ name }) =>
        name.startsWith("findings:"),
      );
    expect(fields(PLAN)).toHaveLength(5);
    expect(fields(parsePlan(terms))).toEqual([]);
  });

  it("is refused where no site can have said so", () => {
    const bins = Float64Array.from({ length: 1024 }, (_, i) => Number(i === 0));
    const sums = { "findings:sites": Float64Array.of(0), "findings:positives:a": bins };
    expect(() => findingsOfSums(sums)).toThrow(expect.objectContaining({ code: "secagg.garbled" }) as Error);
  });
});
