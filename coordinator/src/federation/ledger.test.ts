import type { Attempt, Round } from "@consilium/shared/ids";
import { expect, it } from "vitest";
import type { RoundRow } from "../store/store.ts";
import { hashOf, header, record, siteId } from "../testing/values.ts";
import { Ledger } from "./ledger.ts";

const row = (round: number, attempt: number, outcome: RoundRow["outcome"]): RoundRow => {
  const { examples, metrics, sealedSha256, sealedBytes } = header("north", round, attempt).body;
  return {
    round: round as Round,
    attempt: attempt as Attempt,
    base: hashOf("checkpoint 0"),
    cohort: [siteId("north")],
    outcome,
    openedAtMs: 0,
    closedAtMs: null,
    excluded: [],
    checkpoint: null,
    contributions: [{ site: siteId("north"), examples, metrics, sealedSha256, sealedBytes }],
    masking: null,
    totals: null,
    serverState: null,
    average: null,
    verdict: null,
    resumed: false,
  };
};
const names = (...attempts: readonly [number, number][]) =>
  attempts.map(([round, attempt]) => hashOf(`north ${round} ${attempt}`));

it("keeps the updates of an attempt that is open, also before the first round", () => {
  const ledger = new Ledger([row(0, 1, "abandoned"), row(0, 2, "open")], [record(0)], []);
  expect(ledger.spentUpdates()).toEqual(names([0, 1]));
  expect(ledger.neededUpdates()).toEqual(names([0, 2]));
});

it("is done with those of the newest model's round, and of attempts since that made none", () => {
  const rounds = [
    row(1, 1, "abandoned"),
    row(1, 2, "aggregated"),
    row(2, 1, "abandoned"),
    row(2, 2, "closed"),
  ];
  const ledger = new Ledger(rounds, [record(0), record(1)], []);
  expect(ledger.spentUpdates()).toEqual(names([1, 1], [1, 2], [2, 1]));
  expect(ledger.neededUpdates()).toEqual(names([2, 2]));
});
