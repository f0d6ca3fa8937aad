/** A masked round ends with the integer sum, or with another attempt, whoever falls silent and whenever it starts again. */
import { siteNames } from "@consilium/shared/secagg/testing/consortium";
import fc from "fast-check";
import { expect, it } from "vitest";
import { restoreState } from "./recovery.ts";
import { transition } from "./reducer.ts";
import { begin, runAttempt, settingFor, STEPS, type Silences } from "../testing/masked-federation.ts";

const SETTING = settingFor(4, 3);

/** Most lose few sites, so that many come to an end. */
const silence = fc
  .tuple(fc.subarray(siteNames(4)), fc.nat(3))
  .map(([names, rare]) => (rare === 0 ? names.slice(0, 2) : []));
const silences = fc.record({
  advertise: silence,
  share: silence,
  mask: silence,
  consistency: silence,
  unmask: silence,
});
const nobody: Silences = () => [];

it("ends an attempt with the integer sum or begins another, whoever falls silent and whenever it starts again", () => {
  const outcomes = { sums: 0, retries: 0 };
  fc.assert(
    fc.property(fc.nat(1), silences, fc.subarray([...STEPS]), (round, dropouts, restarts) => {
      const coordinator = begin(SETTING, round);
      const { context } = coordinator.masked.terms.attempt;
      const failedIn = runAttempt(coordinator, (step) => dropouts[step], new Set(restarts));
      if (failedIn === null) {
        outcomes.sums += 1;
        return;
      }
      outcomes.retries += 1;
      // What the images are like is in no second sum once a vector of it may have been sent.
      const givenUp = round === 0 && ["mask", "consistency", "unmask"].includes(failedIn);
      expect(coordinator.ledger.cohort !== null).toBe(givenUp);
      const next = givenUp ? { round: 1, attempt: 1 } : { round, attempt: 2 };
      expect(coordinator.open).toMatchObject({ ...next, contributions: [] });
      expect(coordinator.masked.terms.attempt.context).not.toBe(context);
      expect(runAttempt(coordinator, nobody, new Set(restarts))).toBeNull();
    }),
    { numRuns: 10, seed: 4 },
  );
  expect(Math.min(outcomes.sums, outcomes.retries)).toBeGreaterThan(0);
});

it.each(STEPS.slice(1))(
  "abandons an attempt in the step %s whose messages an upgrade has removed",
  (step) => {
    const { ledger, state } = begin(SETTING, 1);
    const rounds = ledger.rounds.map((row) => ({
      ...row,
      masking: row.masking && { ...row.masking, step, messages: [] },
    }));
    const restored = restoreState(SETTING.rules, {
      roster: state.roster,
      checkpoints: [],
      rounds,
      cohort: null,
    });
    const { facts } = transition(restored, { type: "coordinator.recovered", atMs: 0 });
    expect(facts).toMatchObject([{ fact: "round.abandoned", round: 1, attempt: 1 }]);
  },
);

/** A round that came to its sum, which then cannot be opened. */
function withGarbledSum(of: 0 | 1): ReturnType<typeof begin> {
  const coordinator = begin(SETTING, of);
  expect(runAttempt(coordinator, nobody, new Set())).toBeNull();
  const { position } = coordinator.state;
  if (position.phase !== "aggregating") throw new Error("it came to the sum");
  const { round, attempt } = position;
  const failure = { reason: "secagg.garbled", culprits: [] };
  coordinator.dispatch({ type: "attempt.failed", round, attempt, ...failure, atMs: 0 });
  return coordinator;
}

it("gives an attempt up whose sum cannot be opened, and says why", () => {
  const { open, ledger } = withGarbledSum(1);
  expect(open).toMatchObject({ round: 1, attempt: 2 });
  expect(ledger.rounds.at(0)).toMatchObject({ outcome: "abandoned", masking: null });
});

it("goes on to round 1 without a comparison of images where their sum cannot be opened", () => {
  const { open, ledger } = withGarbledSum(0);
  expect(open).toMatchObject({ round: 1, attempt: 1 });
  expect(ledger.cohort).toEqual({ record: null, givenUp: "secagg.garbled" });
});
