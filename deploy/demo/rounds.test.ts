import { siteIdSchema } from "@consilium/shared/ids";
import type { RoundStatus } from "@consilium/shared/protocol/http";
import { expect, it } from "vitest";
import { lossesOf, trainingRounds } from "./rounds.ts";

const SITE = siteIdSchema.parse("hospital-a");

/** @param loss null when nothing arrived */
function attemptOf(round: number, attempt: number, loss: number | null): RoundStatus {
  const metrics = { loss: loss ?? 0, finalLoss: loss ?? 0, steps: 4, updateNorm: 1, trainingMs: 900 };
  return {
    round,
    attempt,
    openedAt: "2026-01-01T00:00:00.000Z",
    closedAt: `2026-01-01T00:00:0${attempt}.000Z`,
    loss,
    totals: null,
    health: null,
    contributions: loss === null ? [] : [{ site: SITE, examples: 32, metrics }],
    excluded: [],
    checkpoint: null,
    verdict: null,
  };
}

it("tells of a round once, by its last attempt, and of rounds in order", () => {
  const history = [
    attemptOf(2, 3, 0.5),
    attemptOf(1, 1, 0.9),
    attemptOf(2, 1, 0.7),
    attemptOf(2, 2, null),
    attemptOf(3, 1, null),
  ];
  expect(trainingRounds({ history })).toEqual([
    { round: 1, loss: 0.9, durationMs: 1000, sites: [{ site: SITE, examples: 32, loss: 0.9 }] },
    { round: 2, loss: 0.5, durationMs: 3000, sites: [{ site: SITE, examples: 32, loss: 0.5 }] },
    { round: 3, loss: null, durationMs: 1000, sites: [] },
  ]);
  expect(lossesOf({ history })).toEqual([0.9, 0.5]);
});

it("takes no loss from an attempt that was abandoned", () => {
  expect(lossesOf({ history: [attemptOf(1, 1, 0.9), attemptOf(1, 2, null)] })).toEqual([]);
});
