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
  state: FederationState = initialState(rules);
  readonly facts: Fact[] = [];
  #made = 0;

  constructor() {
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
      const body = { ...made.body, sha256, parent: base };
      this.send({ type: "round.aggregated", attempt, record: { ...made, body }, serverState, heldOutLoss });
    }
    return this;
  }

  /** As a restart finds it. */
  restored(): FederationState {
    const ledger = new Ledger([], [], []);
    for (const fact of this.facts) ledger.apply(fact, 0);
    const checkpoints = ledger.checkpoints.map(({ body }) => body);
    return restoreState(rules, { roster: sites, rounds: ledger.rounds, checkpoints, cohort: null });
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
    fc.assert(
      fc.property(losses, fc.boolean(), (all, resume) => {
        const run = new Run().tries(...all);
        if (resume) run.send({ type: "operator.resumed" });
        const { position, checkpoint, accepted, rollbacks } = run.state;
        const restored = run.restored();
        expect({ ...restored, position: 0 }).toMatchObject({ checkpoint, accepted, rollbacks });
        expect(restored.position.phase).toBe(position.phase);
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
        if (checkpoint !== null && checkpoint !== genesis)
          expect(needed).toContain(ledger.serverStateOf(checkpoint));
      }),
      { numRuns: 150 },
    );
  });

  it("ignores aggregates of attempts that are over", () => {
    const run = new Run().tries(1, 0.9, 5);
    const before = run.state;
    run.send({ type: "round.aggregated", attempt: 1 as Attempt, record: record(3), heldOutLoss: 0.1 });
    expect(run.state).toBe(before);
  });
});
