import { describe, expect, it } from "vitest";
import {
  completedRounds,
  elapsedMs,
  lossChange,
  lossCurves,
  phaseTitle,
  roughly,
  roundCells,
  siteProgress,
  timeLeftMs,
} from "../../coordinator/dashboard/src/derive.ts";
import { whatTheCoordinatorCanRead } from "@consilium/shared/plan-leaves";
import { describePlan } from "../../coordinator/dashboard/src/describe-plan.ts";
import { federationAt } from "./support/federation-story.ts";

const nowMs = Date.parse("2026-11-22T12:00:00Z");

describe("time left", () => {
  it("is unknown before the first round is over, and when there is nothing left", () => {
    expect(timeLeftMs(federationAt({ completed: 0, nowMs }), nowMs)).toBeNull();
    expect(timeLeftMs(federationAt({ completed: 25, nowMs }), nowMs)).toBeNull();
  });

  it("is the usual length of a round times the rounds left, less what the open one has had", () => {
    const left = timeLeftMs(federationAt({ completed: 15, nowMs }), nowMs) ?? 0;
    expect(left).toBeGreaterThan(9 * 30_000);
    expect(left).toBeLessThan(10 * 34_000);
    expect(timeLeftMs(federationAt({ completed: 15, nowMs }), nowMs + 5_000)).toBeCloseTo(left - 5_000, 3);
  });

  it("does not fall below the rounds after the open one, however long that takes", () => {
    const late = timeLeftMs(federationAt({ completed: 15, nowMs }), nowMs + 3_600_000) ?? 0;
    expect(late).toBeGreaterThan(8 * 30_000);
  });

  it("is not stretched by a pause between rounds", () => {
    const status = federationAt({ completed: 10, nowMs });
    const nightMs = 10 * 3_600_000;
    const history = status.history.map((round) =>
      round.round > 9
        ? round
        : {
            ...round,
            openedAt: new Date(Date.parse(round.openedAt) - nightMs).toISOString(),
            closedAt:
              round.closedAt === null ? null : new Date(Date.parse(round.closedAt) - nightMs).toISOString(),
          },
    );
    expect(timeLeftMs({ ...status, history }, nowMs)).toBe(timeLeftMs(status, nowMs));
    expect(elapsedMs({ ...status, history }, nowMs)).toBeGreaterThan(nightMs);
  });
});

describe("loss curves", () => {
  it("have one value for each round, gaps where a site did not contribute, and none for all before a model exists", () => {
    const curves = lossCurves(federationAt({ completed: 6, nowMs }));
    expect(curves.rounds).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(curves.global.at(-1)).toBeNull();
    expect(curves.global.slice(0, 6).every((loss) => loss !== null)).toBe(true);
    const missing = curves.sites.find(({ site }) => site === "hospital-c")?.losses;
    expect(missing?.[4]).toBeNull();
    expect(missing?.[5]).not.toBeNull();
  });

  it("count a round once, by its last attempt", () => {
    const status = federationAt({ completed: 3, nowMs });
    const [first, ...rest] = status.history;
    if (first === undefined) throw new Error("the story has rounds");
    const failed = { ...first, checkpoint: null, loss: 9, contributions: [] };
    const retried = { ...status, history: [failed, { ...first, attempt: 2 }, ...rest] };
    expect(lossCurves(retried)).toEqual(lossCurves(status));
    expect(completedRounds(retried)).toHaveLength(3);
  });

  it("compare the newest model with the first", () => {
    expect(lossChange(federationAt({ completed: 25, nowMs }))?.change).toBeCloseTo(-0.31, 1);
    expect(lossChange(federationAt({ completed: 0, nowMs }))).toBeNull();
  });
});

describe("what a person reads", () => {
  it("names each phase", () => {
    expect(phaseTitle(federationAt({ completed: 0, phase: "waiting" }))).toBe("Waiting for sites");
    expect(phaseTitle(federationAt({ completed: 4, phase: "aggregating" }))).toBe("Averaging round 5 of 25");
    expect(phaseTitle({ ...federationAt({ completed: 0, masked: true }), round: 0 })).toBe(
      "Comparing the sites' images",
    );
    expect(phaseTitle(federationAt({ completed: 1, rounds: 1 }))).toBe("Finished after 1 round");
    const trying = { ...federationAt({ completed: 6, phase: "open" }), rounds: 6 };
    expect(phaseTitle(trying)).toBe("Trying the last model");
    expect(phaseTitle({ ...trying, phase: "finished" })).toBe("Finished after 6 rounds");
  });

  it("marks rounds that went on without someone", () => {
    const cells = roundCells(federationAt({ completed: 6, nowMs }));
    expect(cells).toHaveLength(25);
    expect(cells[4]).toEqual({
      round: 5,
      state: "partial",
      text: expect.stringMatching(/^Round 5: without hospital-c \(.+\)$/) as string,
    });
    expect(cells.map(({ state }) => state).slice(5, 8)).toEqual(["done", "open", "ahead"]);
  });

  it("rounds times to what is known", () => {
    expect([4_000, 31_000, 59_000, 7 * 60_000, 90 * 60_000, 30 * 3_600_000].map(roughly)).toEqual([
      "a few seconds",
      "about 30 s",
      "about 1 min",
      "about 7 min",
      "about 1.5 h",
      "about 30 h",
    ]);
  });

  it("never shows more than a whole stage, nor one of a site that is not there", () => {
    const [site] = federationAt({ completed: 1, nowMs }).sites;
    if (site === undefined) throw new Error("the story has sites");
    expect(siteProgress({ ...site, phase: "uploading", done: 12, total: 10 })).toMatchObject({
      stage: 2,
      fraction: 1,
    });
    expect(siteProgress({ ...site, phase: "training", done: 3, total: 0 })).toMatchObject({
      stage: 1,
      fraction: 0,
    });
    expect(siteProgress({ ...site, connected: false }).stage).toBeNull();
  });

  it("describes the plan without promising what is not there", () => {
    const { plan, parameters } = federationAt({ completed: 1 });
    const text = describePlan(plan, parameters)
      .map((line) => line.text)
      .join(" ")
      .replaceAll("\u00a0", " ");
    expect(text).toContain("75 % of each image is hidden");
    expect(text).toContain("about 5.4 MB a round");
    expect(text).toContain("encrypted for the coordinator");
    expect(text).toContain("closes after 30 min at the latest");
    expect(whatTheCoordinatorCanRead(plan)).toMatchObject({ isWarning: true });
  });

  it("says of a masked plan that single updates, sizes and losses do not show", () => {
    const status = federationAt({ completed: 2, masked: true });
    const text = describePlan(status.plan, status.parameters)
      .map((line) => line.text)
      .join(" ");
    expect(text).toContain("cancel only in the sum");
    expect(whatTheCoordinatorCanRead(status.plan)).toMatchObject({ isWarning: false });
    expect(text).not.toContain("AUROC");
    const health = {
      images: 64,
      leastSpread: 0,
      evaluation: { classes: ["normal", "pneumonia"], images: 64 },
    };
    const evaluated = describePlan({ ...status.plan, health }, null).find(
      (line) => line.label === "Leaves a site each round",
    );
    expect(evaluated?.text).toContain("labels normal, pneumonia");
    const curves = lossCurves(status);
    expect(curves.global.filter((loss) => loss !== null)).toHaveLength(2);
    expect(curves.sites.flatMap(({ losses }) => losses).every((loss) => loss === null)).toBe(true);
  });
});
