import type { Attempt, Round } from "@consilium/shared/ids";
import { describe, expect, it } from "vitest";
import { hashOf, header, record, siteId } from "../testing/values.ts";
import { judge, transition } from "./reducer.ts";
import { initialState } from "./state.ts";
import { summarise } from "./status.ts";
import type { Effect, Fact, FederationEvent, FederationState, Rules } from "./types.ts";

const rules: Rules = {
  rounds: 2,
  minSites: 2,
  roundDeadlineMs: 1000,
  gatherMs: 50,
  secure: "plain",
  acceptance: null,
};
const genesis = hashOf("checkpoint 0");

type Happening = FederationEvent extends infer E
  ? E extends FederationEvent
    ? Omit<E, "atMs">
    : never
  : never;

/** Feeds events through the reducer and remembers what came out. */
class Run {
  state: FederationState;
  facts: Fact[] = [];
  effects: Effect[] = [];
  atMs = 0;

  constructor(change: Partial<Rules> = {}) {
    this.state = initialState({ ...rules, ...change });
  }

  send(...events: readonly Happening[]): this {
    for (const event of events) {
      const next = transition(this.state, { ...event, atMs: this.atMs });
      this.state = next.state;
      this.facts.push(...next.facts);
      this.effects.push(...next.effects);
    }
    return this;
  }

  enrol(...sites: readonly string[]): this {
    return this.send(...sites.map((site) => ({ type: "site.enrolled", site: siteId(site) }) as const));
  }

  connect(...sites: readonly string[]): this {
    return this.send(
      ...sites.map((site) => ({ type: "site.connected", site: siteId(site), genesis }) as const),
    );
  }

  contribute(round: number, attempt: number, ...sites: readonly string[]): this {
    return this.send(
      ...sites.map(
        (site) => ({ type: "contribution.received", header: header(site, round, attempt) }) as const,
      ),
    );
  }

  deadline(round: number, attempt: number): this {
    return this.send({ type: "deadline.passed", round: round as Round, attempt: attempt as Attempt });
  }

  aggregated(round: number, attempt = 1): this {
    return this.send({ type: "round.aggregated", attempt: attempt as Attempt, record: record(round) });
  }

  /** North and south are there and the initial model too: round 1 is open. */
  static open(change: Partial<Rules> = {}): Run {
    const run = new Run(change).enrol("north", "south").connect("north", "south");
    return run.send({ type: "genesis.uploaded", record: record(0) });
  }

  names(): string[] {
    return this.facts.map(({ fact }) => fact);
  }
}

describe("waiting", () => {
  it("opens once enough sites are enrolled, connected, and the initial model is here", () => {
    const run = new Run().enrol("north", "south").connect("north");
    expect(run.state.position.phase).toBe("waiting");
    run.connect("south");
    expect(run.state.position.phase).toBe("waiting");
    run.send({ type: "genesis.uploaded", record: record(0) });
    expect(run.state.position).toMatchObject({ phase: "open", round: 1, attempt: 1, base: genesis });
    expect(run.names()).toEqual(["genesis.stored", "round.opened"]);
  });

  it("asks exactly one connected site for the initial model, and another when that one leaves", () => {
    const run = new Run().enrol("north", "south").connect("south", "north");
    expect(run.state.genesisClaim?.site).toBe("south");
    run.send({ type: "site.disconnected", site: siteId("south") });
    expect(run.state.genesisClaim?.site).toBe("north");
    run.send({ type: "site.disconnected", site: siteId("north") });
    expect(run.state.genesisClaim).toBeNull();
  });

  it("gives the rest of the roster a moment, then opens without it", () => {
    const run = new Run().enrol("east", "north", "south").connect("north", "south");
    run.send({ type: "genesis.uploaded", record: record(0) });
    expect(run.state.position).toMatchObject({ phase: "waiting", gathering: true });
    expect(run.effects).toEqual([{ effect: "await-gathering", afterMs: 50 }]);
    run.send({ type: "gathering.ended" });
    expect(run.state.position).toMatchObject({ phase: "open", cohort: ["north", "south"] });
  });

  it("does not wait any longer once all of the roster is there", () => {
    const run = new Run().enrol("east", "north", "south").connect("north", "south");
    run.send({ type: "genesis.uploaded", record: record(0) }).connect("east");
    expect(run.state.position).toMatchObject({ phase: "open", cohort: ["east", "north", "south"] });
  });

  it("stops gathering when too few are left", () => {
    const run = new Run().enrol("east", "north", "south").connect("north", "south");
    run.send({ type: "genesis.uploaded", record: record(0) });
    run.send({ type: "site.disconnected", site: siteId("south") }, { type: "gathering.ended" });
    expect(run.state.position).toMatchObject({ phase: "waiting", gathering: false });
  });
});

describe("an open round", () => {
  it("closes at once when the whole cohort has contributed", () => {
    const run = Run.open().contribute(1, 1, "south", "north");
    expect(run.state.position).toMatchObject({ phase: "aggregating", excluded: [] });
    expect(run.effects.at(-1)).toMatchObject({ effect: "aggregate" });
    const { position } = run.state;
    if (position.phase !== "aggregating") throw new Error("it is aggregating");
    expect(position.contributions.map(({ site }) => site)).toEqual(["north", "south"]);
  });

  it("goes on after the deadline with enough contributions, and says who is missing and why", () => {
    const run = new Run().enrol("east", "north", "south", "west").connect("east", "north", "south", "west");
    run.send({ type: "genesis.uploaded", record: record(0) }).contribute(1, 1, "north", "south");
    run.send({ type: "site.disconnected", site: siteId("west") }).deadline(1, 1);
    expect(run.facts.at(-1)).toEqual({
      fact: "round.closed",
      round: 1,
      attempt: 1,
      excluded: [
        { site: "east", reason: "no update before the deadline" },
        { site: "west", reason: "not connected" },
      ],
    });
  });

  it("is tried again after the deadline with too few contributions, and then starts from nothing", () => {
    const run = Run.open().contribute(1, 1, "north").deadline(1, 1);
    expect(run.names().slice(-2)).toEqual(["round.abandoned", "round.opened"]);
    expect(run.state.position).toMatchObject({ phase: "open", round: 1, attempt: 2, contributions: [] });
  });

  it("waits for sites before a new attempt when too few are connected", () => {
    const run = Run.open()
      .send({ type: "site.disconnected", site: siteId("south") })
      .deadline(1, 1);
    expect(run.state.position).toMatchObject({ phase: "waiting", round: 1, attempt: 2 });
    run.connect("south");
    expect(run.state.position).toMatchObject({ phase: "open", round: 1, attempt: 2 });
  });

  it("ignores the deadline of an earlier attempt", () => {
    const run = Run.open().deadline(1, 1).deadline(1, 1);
    expect(run.state.position).toMatchObject({ round: 1, attempt: 2 });
  });

  it("lets sites that join late take part from the next round", () => {
    const run = Run.open().enrol("east").connect("east");
    expect(judge(run.state, header("east", 1, 1).body)).toBe("stale");
    run.contribute(1, 1, "north", "south").aggregated(1);
    expect(run.state.position).toMatchObject({ phase: "open", round: 2, cohort: ["east", "north", "south"] });
  });

  it("calls a second contribution a duplicate and one of another round, attempt or base stale", () => {
    const { state } = Run.open().contribute(1, 1, "north");
    expect(judge(state, header("south", 1, 1).body)).toBe("wanted");
    expect(judge(state, header("north", 1, 1).body)).toBe("duplicate");
    expect(judge(state, header("south", 1, 2).body)).toBe("stale");
    expect(judge(state, header("south", 2, 1).body)).toBe("stale");
    expect(judge(state, header("south", 1, 1, { base: hashOf("other") }).body)).toBe("stale");
    expect(judge(state, header("stranger", 1, 1).body)).toBe("stale");
  });

  it("does not wait for a site whose update was refused when the others are enough", () => {
    const run = new Run().enrol("east", "north", "south").connect("east", "north", "south");
    run.send({ type: "genesis.uploaded", record: record(0) }).contribute(1, 1, "north", "south");
    const refusal = { type: "contribution.refused", round: 1 as Round, attempt: 1 as Attempt } as const;
    run.send({ ...refusal, site: siteId("east"), reason: "vector.not-finite" });
    expect(run.state.position).toMatchObject({
      phase: "aggregating",
      excluded: [{ site: "east", reason: "vector.not-finite" }],
    });
  });

  it("takes a good update after a refused one", () => {
    const refusal = { type: "contribution.refused", round: 1 as Round, attempt: 1 as Attempt } as const;
    const run = Run.open().send({ ...refusal, site: siteId("south"), reason: "vector.not-finite" });
    run.contribute(1, 1, "north");
    expect(run.state.position.phase).toBe("open");
    run.contribute(1, 1, "south");
    expect(run.state.position).toMatchObject({ phase: "aggregating", excluded: [] });
  });
});

describe("aggregating", () => {
  const lost = {
    type: "contribution.lost",
    round: 1 as Round,
    attempt: 1 as Attempt,
    site: siteId("east"),
    reason: "envelope.invalid",
  } as const;

  it("goes on without a contribution that cannot be read, if the rest is enough", () => {
    const run = new Run().enrol("east", "north", "south").connect("east", "north", "south");
    run.send({ type: "genesis.uploaded", record: record(0) }).contribute(1, 1, "east", "north", "south");
    run.send(lost);
    expect(run.names().slice(-2)).toEqual(["contribution.dropped", "round.closed"]);
    expect(run.effects.at(-1)).toMatchObject({
      effect: "aggregate",
      position: { excluded: [{ site: "east", reason: "envelope.invalid" }] },
    });
  });

  it("starts a new attempt when too few are left", () => {
    const run = Run.open()
      .contribute(1, 1, "north", "south")
      .send({ ...lost, site: siteId("north") });
    expect(run.state.position).toMatchObject({ phase: "open", round: 1, attempt: 2 });
  });

  it("finishes after the last round", () => {
    const run = Run.open().contribute(1, 1, "north", "south").aggregated(1);
    const second = { base: hashOf("checkpoint 1") };
    for (const site of ["north", "south"]) {
      run.send({ type: "contribution.received", header: header(site, 2, 1, second) });
    }
    run.aggregated(2);
    expect(run.state).toMatchObject({ checkpoint: hashOf("checkpoint 2"), position: { phase: "finished" } });
    expect(run.facts.at(-1)).toEqual({ fact: "federation.finished", checkpoint: hashOf("checkpoint 2") });
    expect(run.enrol("late").connect("late").state.position.phase).toBe("finished");
  });

  it("ignores the result of an attempt that is over", () => {
    const run = Run.open().contribute(1, 1, "north", "south");
    run.send({ ...lost, site: siteId("north") }).aggregated(1, 1);
    expect(run.state).toMatchObject({ checkpoint: genesis, position: { round: 1, attempt: 2 } });
  });
});

describe("recovery", () => {
  it("keeps contributions and counts the deadline from the re-opening", () => {
    const run = Run.open().contribute(1, 1, "north");
    run.atMs = 5000;
    run.effects = [];
    run.send({ type: "coordinator.recovered" });
    expect(run.state).toMatchObject({
      connected: [],
      position: { phase: "open", deadlineAtMs: 6000, contributions: [{ site: "north" }] },
    });
    expect(run.effects).toEqual([{ effect: "await-deadline", round: 1, attempt: 1, afterMs: 1000 }]);
  });

  it("aggregates again what was being aggregated", () => {
    const run = Run.open().contribute(1, 1, "north", "south");
    run.effects = [];
    run.send({ type: "coordinator.recovered" });
    expect(run.effects).toEqual([{ effect: "aggregate", position: run.state.position }]);
  });
});

it("says in one sentence what is being waited for", () => {
  const run = new Run().enrol("north");
  expect(summarise(run.state)).toBe("Waiting for sites to join: 1 of at least 2 enrolled.");
  run.enrol("south").connect("north");
  expect(summarise(run.state)).toBe("Waiting for sites: 1 of at least 2 connected.");
  run.connect("south");
  expect(summarise(run.state)).toBe("Waiting for the initial model from north.");
  run.send({ type: "genesis.uploaded", record: record(0) }).contribute(1, 1, "north");
  expect(summarise(run.state)).toBe("Round 1: 1 of 2 updates are here; waiting for south.");
});

describe("a masked round", () => {
  const sites = ["a", "b", "c", "d"];
  const masked = (): Run => {
    const run = new Run({ secure: "masked", minSites: 3 }).enrol(...sites).connect(...sites);
    return run.send({ type: "genesis.uploaded", record: record(0) });
  };
  const sitOut = (run: Run, site: string, attempt = 1): Run =>
    run.send({
      type: "site.sat-out",
      round: 0 as Round,
      attempt: attempt as Attempt,
      site: siteId(site),
      reason: "secagg.spent",
    });

  it("goes before the first, and does not wait for a training", () => {
    const run = masked();
    expect(run.state.position).toMatchObject({ phase: "open", round: 0, attempt: 1, base: genesis });
    expect(run.names()).toEqual(["genesis.stored", "round.opened", "masking.opened"]);
  });

  it("takes no open update", () => {
    expect(judge(masked().state, header("a", 0, 1, { base: genesis }).body)).toBe("stale");
  });

  it("does not wait for a site that sits it out, and says so", () => {
    const run = sitOut(masked(), "b");
    expect(run.state.position).toMatchObject({ masking: { expected: ["a", "c", "d"] } });
    expect(run.facts.at(-1)).toMatchObject({ fact: "site.sat-out", site: "b", reason: "secagg.spent" });
    expect(summarise(run.state)).toBe(
      "Before round 1: 0 of 3 sites have sent keys for this attempt; waiting for a, c, d. Without b (secagg.spent).",
    );
    // Once is enough, and nobody outside the attempt has a part in it to give up.
    const { length } = run.facts;
    sitOut(run, "b");
    sitOut(run, "a", 2);
    expect(run.facts).toHaveLength(length);
  });

  it("is tried again at once where too few sites are left", () => {
    const run = sitOut(sitOut(masked(), "b"), "c");
    expect(run.state.position).toMatchObject({ round: 0, attempt: 2, cohort: sites });
    expect(run.facts.find(({ fact }) => fact === "round.abandoned")).toMatchObject({
      excluded: [
        { site: "a", reason: "no update before the deadline" },
        { site: "b", reason: "secagg.spent" },
        { site: "c", reason: "secagg.spent" },
        { site: "d", reason: "no update before the deadline" },
      ],
    });
  });
});

it("puts a deadline off for the round and step that it was set for, and for no other", () => {
  const run = new Run()
    .enrol("north", "south")
    .connect("north", "south")
    .send({ type: "genesis.uploaded", record: record(0) });
  const extend = (round: number) =>
    ({
      type: "deadline.extended",
      round: round as Round,
      attempt: 1 as Attempt,
      untilMs: 5000,
    }) as const;
  run.send(extend(2));
  expect(run.state.position).toMatchObject({ phase: "open", deadlineAtMs: 1000 });
  run.send(extend(1));
  expect(run.state.position).toMatchObject({ phase: "open", deadlineAtMs: 5000 });
  expect(run.effects.at(-1)).toMatchObject({ effect: "await-deadline", afterMs: 5000 });
});
