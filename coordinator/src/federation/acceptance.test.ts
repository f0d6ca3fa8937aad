import type { Attempt } from "@consilium/shared/ids";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hashOf, header, record, siteId } from "../testing/values.ts";
import { Ledger } from "./ledger.ts";
import { restoreState } from "./recovery.ts";
import { transition } from "./reducer.ts";
import { initialState } from "./state.ts";
import { summarise } from "./status.ts";
import type { Fact, FederationState, Happening, Rules } from "./types.ts";

const rules: Rules = {
  rounds: 3,
  minSites: 2,
  roundDeadlineMs: 1000,
  gatherMs: 0,
  secure: "plain",
  acceptance: { tolerance: 0.1, maxRollbacks: 2 },
};
const sites = ["a", "b"].map(siteId);
const genesis = hashOf("checkpoint 0");

/** Rounds whose base has these held-out losses, one attempt after the other; null where no site has images to spare. */
class Run {
  state: FederationState;
  readonly facts: Fact[] = [];
  readonly #rules: Rules;
  #made = 0;

  constructor(of = rules) {
    this.#rules = of;
    this.state = initialState(of);
    this.send(
      ...sites.map((site) => ({ type: "site.enrolled", site }) as const),
      ...sites.map((site) => ({ type: "site.connected", site, genesis }) as const),
      { type: "genesis.uploaded", record: record(0) },
    );
  }

  send(...events: readonly Happening[]): this {
    for (const event of events) {
      const { state, facts } = transition(this.state, { ...event, atMs: 0 });
      this.state = state;
      this.facts.push(...facts);
    }
    return this;
  }

  tries(...losses: readonly (number | null)[]): this {
    for (const heldOutLoss of losses) {
      const { position } = this.state;
      if (position.phase !== "open") return this;
      const { round, attempt, base } = position;
      this.send(
        ...sites.map((site) => {
          const sent = header(site, round, attempt, { base });
          return { type: "contribution.received", header: sent } as const;
        }),
      );
      const made = record(round, sites);
      const sha256 = hashOf(`model ${++this.#made}`);
      const serverState = hashOf(`state ${this.#made}`);
      const average = hashOf(`average ${this.#made}`);
      const body = { ...made.body, sha256, parent: base };
      const carried = { serverState, average, heldOutLoss };
      this.send({ type: "round.aggregated", attempt, record: { ...made, body }, ...carried });
    }
    return this;
  }

  /** As a restart finds it. */
  restored(): FederationState {
    const ledger = new Ledger([], [], []);
    for (const fact of this.facts) ledger.apply(fact, 0);
    const checkpoints = ledger.checkpoints.map(({ body }) => body);
    return restoreState(this.#rules, { roster: sites, rounds: ledger.rounds, checkpoints, cohort: null });
  }
}

const model = (number: number) => hashOf(`model ${number}`);

describe("a federation whose models are tried", () => {
  it("goes on while they are no worse, and tries the last one in a round of its own", () => {
    const { state, facts } = new Run().tries(1, 0.9, 0.95, 0.8);
    expect(state.position.phase).toBe("finished");
    expect(state.checkpoint).toBe(model(3));
    expect(facts.map(({ fact }) => fact).slice(-3)).toEqual([
      "model.tried",
      "trial.ended",
      "federation.finished",
    ]);
    expect(facts.filter(({ fact }) => fact === "round.aggregated")).toHaveLength(3);
  });

  it("takes a worse one back with what was trained from it, and starts again from the one before", () => {
    const run = new Run().tries(1, 0.9, 5);
    // Round 3 started from model 2, which is worse than model 1.
    expect(run.state).toMatchObject({
      checkpoint: model(1),
      rollbacks: 1,
      position: { phase: "open", round: 3, attempt: 2, base: model(1) },
    });
    expect(run.facts).toContainEqual({
      fact: "model.tried",
      round: 3,
      attempt: 1,
      rollbacks: 1,
      verdict: {
        checkpoint: model(2),
        loss: 5,
        accepted: false,
        before: { checkpoint: model(1), loss: 0.9 },
      },
    });
    // The same base again is no news; the model made from it is.
    expect(run.tries(0.9, 0.85).state).toMatchObject({
      checkpoint: model(4),
      position: { phase: "finished" },
    });
  });

  it("ends with the model before if the last one is worse", () => {
    const { state } = new Run().tries(1, 0.9, 0.8, 7);
    expect(state).toMatchObject({ checkpoint: model(2), position: { phase: "finished" } });
  });

  it("pauses after so many in a row, and counts anew once a person resumes it", () => {
    const run = new Run().tries(1, 5, 1, 5);
    expect(run.state).toMatchObject({
      checkpoint: genesis,
      position: { phase: "paused", round: 3, attempt: 2 },
    });
    expect(summarise(run.state)).toContain("2 models in a row were worse");
    expect(run.restored()).toMatchObject({ checkpoint: genesis, rollbacks: 2, position: run.state.position });
    run.send({ type: "operator.resumed" });
    expect(run.state).toMatchObject({ rollbacks: 0, position: { phase: "open", round: 3, attempt: 2 } });
  });

  it("neither accepts nor refuses what no site could try", () => {
    expect(new Run().tries(null, null, null, null).state).toMatchObject({
      checkpoint: model(3),
      accepted: null,
      position: { phase: "finished" },
    });
  });

  it("allows what the tolerance does, and not a hair more", () => {
    expect(new Run().tries(1, 1.1).state.rollbacks).toBe(0);
    expect(new Run().tries(1, 1.1001).state.rollbacks).toBe(1);
  });

  it("is after a restart where it was, whatever losses came", () => {
    const losses = fc.array(fc.option(fc.constantFrom(0.5, 0.9, 1, 1.05, 3)), { maxLength: 14 });
    const stop = fc.option(
      fc.record({ patience: fc.integer({ min: 1, max: 4 }), minImprovement: fc.constantFrom(0, 0.06) }),
    );
    fc.assert(
      fc.property(losses, losses, fc.boolean(), stop, (first, then, resume, rule) => {
        const run = new Run({ ...rules, rounds: 6, stop: rule ?? undefined }).tries(...first);
        if (resume) run.send({ type: "operator.resumed" }).tries(...then);
        const { position, checkpoint, accepted, rollbacks, stopping } = run.state;
        const restored = run.restored();
        expect({ ...restored, position: 0 }).toMatchObject({ checkpoint, accepted, rollbacks, stopping });
        expect(restored.position.phase).toBe(position.phase);
        if (position.phase === "finished") expect(restored.position).toEqual(position);
        if ("round" in position && "round" in restored.position) {
          expect([restored.position.round, restored.position.attempt]).toEqual([
            position.round,
            position.attempt,
          ]);
        }
        // What the next round's strategy needs is there, and nothing that it needs is thrown away.
        const ledger = new Ledger([], [], []);
        for (const fact of run.facts) ledger.apply(fact, 0);
        const needed = ledger.neededStates(run.state);
        expect(ledger.spentStates(run.state).some((name) => needed.includes(name))).toBe(false);
        if (checkpoint !== null && checkpoint !== genesis) {
          expect(needed).toContain(ledger.serverStateOf(checkpoint));
          expect(needed).toContain(ledger.averageOf(checkpoint));
        }
        // Nor an average that it may end with.
        const best = stopping.best?.checkpoint ?? genesis;
        if (best !== genesis) expect(needed).toContain(ledger.averageOf(best));
      }),
      { numRuns: 150 },
    );
  });

  it("go on with the average of the model that was gone back to, as if there had been no other", () => {
    const run = new Run().tries(1, 0.9, 5);
    const ledger = new Ledger([], [], []);
    for (const fact of run.facts) ledger.apply(fact, 0);
    const decay = { decay: 0.9 };
    expect(run.state.checkpoint).toBe(model(1));
    expect(ledger.carriedBy(model(1), decay).average).toEqual({
      decay: 0.9,
      before: hashOf("average 1"),
      models: 2,
    });
    expect(ledger.carriedBy(model(2), decay).average).toMatchObject({
      before: hashOf("average 2"),
      models: 3,
    });
    // The first model is its own average.
    expect(ledger.carriedBy(genesis, decay).average).toBeUndefined();
    expect(ledger.carriedBy(model(1), undefined).average).toBeUndefined();
  });

  describe("and that may end early", () => {
    const patient = (patience: number, minImprovement = 0.01): Run =>
      new Run({ ...rules, rounds: 20, stop: { patience, minImprovement } });
    const ended = (run: Run) => {
      const { position } = run.state;
      return position.phase === "finished" ? position.stopped : null;
    };

    it("ends with the best model after so many that are no better, and not one before", () => {
      const run = patient(3).tries(1, 0.8, 0.81, 0.82);
      expect(run.state.position).toMatchObject({ phase: "open", round: 5 });
      expect(ended(run.tries(0.83))).toEqual({ round: 5, tries: 3, bestLoss: 0.8 });
      // Model 1 was the base of round 2; nothing of round 5 stays.
      expect(run.state.checkpoint).toBe(model(1));
      expect(run.facts.slice(-3).map(({ fact }) => fact)).toEqual([
        "model.tried",
        "trial.ended",
        "federation.finished",
      ]);
      expect(run.restored()).toMatchObject({ checkpoint: model(1), position: run.state.position });
      expect(summarise(run.state)).toMatch(/^Ended early, in round 5: 3 models in a row .* 0\.8000/);
    });

    it("counts what is better by less than the rule wants as no better, and still ends with it", () => {
      const run = patient(2, 0.1).tries(1, 0.95, 0.91);
      expect(ended(run)).toEqual({ round: 3, tries: 2, bestLoss: 0.91 });
      expect(run.state.checkpoint).toBe(model(2));
      // Small steps add up: the third is a tenth better than the first.
      expect(ended(patient(3, 0.1).tries(1, 0.95, 0.91, 0.89, 0.89, 0.89))).toBeNull();
    });

    it("counts a model that is taken back, and lets a person look before it ends", () => {
      const run = patient(1).tries(1, 5);
      expect(ended(run)).toEqual({ round: 2, tries: 1, bestLoss: 1 });
      expect(run.state.checkpoint).toBe(genesis);
      expect(run.restored()).toMatchObject({ checkpoint: genesis, position: run.state.position });
      // The second in a row would end it as well; but that many are an alarm.
      const paused = patient(2).tries(1, 5, 1, 5);
      expect(paused.state.position.phase).toBe("paused");
      expect(paused.restored().position.phase).toBe("paused");
      expect(ended(paused.send({ type: "operator.resumed" }).tries(1, 0.999))).toMatchObject({ tries: 3 });
    });

    it("goes to its last round while models get better", () => {
      const falling = Array.from({ length: 21 }, (_, i) => 0.95 ** i);
      const run = patient(1).tries(...falling);
      expect(run.state).toMatchObject({ checkpoint: model(20), position: { phase: "finished" } });
      expect(ended(run)).toBeUndefined();
    });
  });

  it("ignores aggregates of attempts that are over", () => {
    const run = new Run().tries(1, 0.9, 5);
    const before = run.state;
    run.send({ type: "round.aggregated", attempt: 1 as Attempt, record: record(3), heldOutLoss: 0.1 });
    expect(run.state).toBe(before);
  });
});
