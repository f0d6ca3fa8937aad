import { sha256 } from "@consilium/shared/canonical";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { Attempt, FederationId, Round, SiteId } from "@consilium/shared/ids";
import type { MaskingStep, RoundOpening } from "@consilium/shared/protocol/round";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  initialState,
  transition,
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  type Standing,
  type Task,
} from "./machine.ts";
import { sameRound, type RoundKey } from "./outbox.ts";

const opening = (round: number, attempt = 1): RoundOpening => ({
  federation: "lungs" as FederationId,
  round: round as Round,
  attempt: attempt as Attempt,
  base: sha256(`base ${round}`),
  planHash: sha256("plan"),
  cohort: ["st-mary" as SiteId],
});

const open = (round: number, attempt = 1, contributed = false): Standing => ({
  phase: "open",
  opening: opening(round, attempt),
  contributed,
  inCohort: true,
});

const finished: Standing = {
  phase: "finished",
  record: {
    body: {
      federation: "lungs" as FederationId,
      round: 3,
      sha256: sha256("final"),
      planHash: sha256("plan"),
      parent: null,
      sites: [],
    },
    signature: "",
  },
};

/** Feeds events to the machine and keeps what it asked for. */
class Bench {
  state: AgentState;
  readonly effects: AgentEffect[];

  constructor(outbox: RoundKey | null = null) {
    const first = initialState(outbox);
    this.state = first.state;
    this.effects = [...first.effects];
  }

  /** @returns the effects of these events alone */
  feed(...events: readonly AgentEvent[]): readonly AgentEffect[] {
    const before = this.effects.length;
    for (const event of events) {
      const { state, effects } = transition(this.state, event);
      this.state = state;
      this.effects.push(...effects);
    }
    return this.effects.slice(before);
  }

  get job(): number {
    return this.state.work.kind === "busy" ? this.state.work.job : -1;
  }

  done(): readonly AgentEffect[] {
    return this.feed({ type: "done", job: this.job });
  }

  failed(code: ErrorCode, culprits: readonly string[] = []): readonly AgentEffect[] {
    return this.feed({ type: "failed", job: this.job, error: new ConsiliumError(code, { culprits }) });
  }
}

const started = (effects: readonly AgentEffect[]): string[] =>
  effects.flatMap((effect) => (effect.type === "start" ? [effect.task.kind] : []));

describe("the agent's state machine", () => {
  it("goes through a round: fetch, train, seal, upload, wait", () => {
    const bench = new Bench();
    expect(started(bench.feed({ type: "connected", standing: open(1) }))).toEqual(["fetching"]);
    expect(started(bench.done())).toEqual(["training"]);
    expect(started(bench.done())).toEqual(["sealing"]);
    expect(started(bench.done())).toEqual(["uploading"]);
    expect(bench.done()).toEqual([]);
    expect(bench.state.work.kind).toBe("idle");
  });

  it("sends the initial model when asked to", () => {
    const bench = new Bench();
    expect(
      started(bench.feed({ type: "connected", standing: { phase: "waiting", genesisWanted: true } })),
    ).toEqual(["genesis"]);
  });

  it("aborts training when another attempt opens, and starts that one", () => {
    const bench = new Bench();
    bench.feed({ type: "connected", standing: open(1) });
    bench.done();
    const training = bench.job;
    const effects = bench.feed({ type: "position", standing: open(1, 2) });
    expect(effects[0]).toEqual({ type: "abort", job: training });
    expect(started(effects)).toEqual(["fetching"]);
    // The aborted job's answer comes late and means nothing.
    expect(bench.feed({ type: "done", job: training })).toEqual([]);
  });

  it("goes on training while the link is down, and uploads once it is back", () => {
    const bench = new Bench();
    bench.feed({ type: "connected", standing: open(1) });
    bench.done();
    expect(bench.feed({ type: "disconnected" })).toEqual([{ type: "connect" }]);
    expect(started(bench.done())).toEqual(["sealing"]);
    expect(started(bench.done())).toEqual([]);
    expect(started(bench.feed({ type: "connected", standing: open(1) }))).toEqual(["uploading"]);
  });

  it("sends what an earlier run has sealed, without training again", () => {
    const bench = new Bench(opening(2));
    expect(started(bench.feed({ type: "connected", standing: open(2) }))).toEqual(["uploading"]);
  });

  it("trains again when what an earlier run has sealed is for another attempt", () => {
    const bench = new Bench(opening(2, 1));
    expect(started(bench.feed({ type: "connected", standing: open(2, 2) }))).toEqual(["fetching"]);
  });

  it("does nothing in a round to which it has contributed, or to which it does not belong", () => {
    const bench = new Bench();
    expect(bench.feed({ type: "connected", standing: open(1, 1, true) })).toEqual([]);
    const outside: Standing = { ...(open(2) as Extract<Standing, { phase: "open" }>), inCohort: false };
    expect(bench.feed({ type: "position", standing: outside })).toEqual([]);
  });

  it("tries again what waiting may mend, and gives up on what it cannot", () => {
    const bench = new Bench();
    bench.feed({ type: "connected", standing: open(1) });
    const job = bench.job;
    expect(bench.failed("coordinator.unreachable")).toEqual([{ type: "retryLater", job, failures: 1 }]);
    expect(started(bench.feed({ type: "retry", job }))).toEqual(["fetching"]);
    expect(bench.failed("manifest.mismatch")).toContainEqual({ type: "end" });
    expect(bench.state.work).toMatchObject({ kind: "failed", error: { code: "manifest.mismatch" } });
  });

  it("gives up on a checkpoint whose hash is wrong three times", () => {
    const bench = new Bench();
    bench.feed({ type: "connected", standing: open(2) });
    for (const last of [false, false, true]) {
      const { job } = bench;
      const effects = bench.failed("hash.mismatch", ["checkpoint"]);
      expect(effects.some(({ type }) => type === "end")).toBe(last);
      bench.feed({ type: "retry", job });
    }
  });

  it("sends an update again however often the coordinator's disk has changed it", () => {
    const bench = new Bench(opening(2));
    bench.feed({ type: "connected", standing: open(2) });
    for (let failures = 1; failures <= 5; failures++) {
      const { job } = bench;
      expect(bench.failed("hash.mismatch")).toEqual([{ type: "retryLater", job, failures }]);
      bench.feed({ type: "retry", job });
    }
  });

  it("hangs up when its session has run out: a new link brings a new one", () => {
    const bench = new Bench();
    bench.feed({ type: "connected", standing: open(2) });
    expect(bench.failed("auth.required")).toEqual([{ type: "hangUp" }]);
    bench.feed({ type: "disconnected" });
    expect(started(bench.feed({ type: "connected", standing: open(2) }))).toEqual(["fetching"]);
  });

  it("asks for the position when its round is no longer open", () => {
    const bench = new Bench(opening(2));
    bench.feed({ type: "connected", standing: open(2) });
    expect(bench.failed("round.not-open")).toEqual([{ type: "ask" }]);
  });

  it("ends after the final model is stored", () => {
    const bench = new Bench();
    expect(started(bench.feed({ type: "connected", standing: finished }))).toEqual(["finishing"]);
    expect(bench.done()).toEqual([{ type: "end" }]);
    expect(bench.feed({ type: "disconnected" }, { type: "position", standing: open(9) })).toEqual([]);
  });
});

const standingArb: fc.Arbitrary<Standing> = fc.oneof(
  fc.record({ phase: fc.constant("waiting" as const), genesisWanted: fc.boolean() }),
  fc.constant({ phase: "aggregating" as const }),
  fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 }), fc.boolean())
    .map(([round, attempt, contributed]) => open(round, attempt, contributed)),
);

type Step =
  | { readonly kind: "link"; readonly up: boolean; readonly standing: Standing }
  | { readonly kind: "position"; readonly standing: Standing }
  | { readonly kind: "done" | "retry"; readonly back: number }
  | { readonly kind: "failed"; readonly back: number; readonly code: ErrorCode };

const RETRIABLE: readonly ErrorCode[] = ["coordinator.unreachable", "disk.full", "round.not-open"];
const backArb = fc.integer({ min: 0, max: 2 });

const stepArb: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("link" as const), up: fc.boolean(), standing: standingArb }),
  fc.record({ kind: fc.constant("position" as const), standing: standingArb }),
  {
    arbitrary: fc.record({ kind: fc.constantFrom("done" as const, "retry" as const), back: backArb }),
    weight: 3,
  },
  fc.record({ kind: fc.constant("failed" as const), back: backArb, code: fc.constantFrom(...RETRIABLE) }),
);

/** `back` also answers for jobs that are long over. */
function eventOf(step: Step, nextJob: number): AgentEvent {
  switch (step.kind) {
    case "link":
      return step.up ? { type: "connected", standing: step.standing } : { type: "disconnected" };
    case "position":
      return { type: "position", standing: step.standing };
    case "failed":
      return { type: "failed", job: nextJob - 1 - step.back, error: new ConsiliumError(step.code) };
    default:
      return { type: step.kind, job: nextJob - 1 - step.back };
  }
}

describe("whatever happens in whatever order", () => {
  const run = (
    steps: readonly Step[],
    watch: (bench: Bench, effects: readonly AgentEffect[]) => void,
  ): Bench => {
    const bench = new Bench();
    watch(bench, bench.effects);
    for (const step of steps) watch(bench, bench.feed(eventOf(step, bench.state.nextJob)));
    return bench;
  };

  it("at most one task runs, and none is left running unseen", () => {
    fc.assert(
      fc.property(fc.array(stepArb, { maxLength: 60 }), (steps) => {
        const running = new Set<number>();
        run(steps, (bench, effects) => {
          for (const effect of effects) {
            if (effect.type === "abort") running.delete(effect.job);
            if (effect.type === "start") running.add(effect.job);
          }
          const { work } = bench.state;
          const current = work.kind === "busy" && work.running ? work.job : null;
          // What ended by itself is no longer current either.
          for (const job of running) if (job !== current) running.delete(job);
          expect(running.size).toBe(current === null ? 0 : 1);
        });
      }),
    );
  });

  it("a job that is dropped while it runs is aborted", () => {
    fc.assert(
      fc.property(fc.array(stepArb, { maxLength: 60 }), (steps) => {
        let before: AgentState | null = null;
        let stepAt = -1;
        run(steps, (bench, effects) => {
          const { work } = bench.state;
          if (before?.work.kind === "busy" && before.work.running) {
            const { job } = before.work;
            const event = steps[stepAt];
            const ended = (event?.kind === "done" || event?.kind === "failed") && event.back === 0;
            const still = work.kind === "busy" && work.job === job;
            const aborted = effects.some((effect) => effect.type === "abort" && effect.job === job);
            expect(still || ended || aborted).toBe(true);
          }
          before = bench.state;
          stepAt += 1;
        });
      }),
    );
  });

  it("nothing is uploaded but what was sealed for that very round and attempt", () => {
    fc.assert(
      fc.property(fc.array(stepArb, { maxLength: 60 }), (steps) => {
        run(steps, (bench, effects) => {
          for (const effect of effects) {
            if (effect.type !== "start" || effect.task.kind !== "uploading") continue;
            const { outbox } = bench.state;
            expect(outbox !== null && sameRound(outbox, effect.task.opening)).toBe(true);
          }
        });
      }),
    );
  });

  it("a round that stays open gets its update", () => {
    fc.assert(
      fc.property(fc.array(stepArb, { maxLength: 40 }), (steps) => {
        const bench = run(steps, () => undefined);
        bench.feed({ type: "disconnected" }, { type: "connected", standing: open(7) });
        const kinds: Task["kind"][] = [];
        for (let i = 0; i < 6 && bench.state.work.kind === "busy"; i++) {
          kinds.push(bench.state.work.task.kind);
          bench.done();
        }
        expect(kinds).toEqual(["fetching", "training", "sealing", "uploading"]);
      }),
    );
  });
});

describe("a masked round", () => {
  const at = (step: MaskingStep, wanted = true, attempt = 1): AgentEvent => ({
    type: "position",
    standing: { ...open(1, attempt), masking: { step, wanted } } as Standing,
  });
  const online = (outbox: RoundKey | null = null): Bench => {
    const bench = new Bench(outbox);
    bench.feed({ type: "connected", standing: { phase: "waiting", genesisWanted: false } });
    return bench;
  };
  const started = (effects: readonly AgentEffect[]) =>
    effects.flatMap((effect) => (effect.type === "start" ? [effect.task.kind] : []));

  it("begins with keys, trains in its third step, and ends with the release", () => {
    const bench = online();
    expect(started(bench.feed(at("advertise")))).toEqual(["fetching"]);
    expect(started(bench.done())).toEqual(["advertising"]);
    bench.done();
    expect(started(bench.feed(at("advertise", false), at("share")))).toEqual(["sharing"]);
    bench.done();
    expect(started(bench.feed(at("mask")))).toEqual(["fetching"]);
    expect([bench.done(), bench.done(), bench.done()].flatMap(started)).toEqual([
      "training",
      "sealing",
      "uploading",
    ]);
    bench.done();
    expect(started(bench.feed(at("consistency")))).toEqual(["voting"]);
    bench.done();
    expect(started(bench.feed(at("unmask")))).toEqual(["releasing"]);
  });

  it("goes on with a step that is told of again, and drops it for the next", () => {
    const bench = online();
    bench.feed(at("share"));
    expect(bench.feed(at("share"))).toEqual([]);
    expect(bench.feed(at("mask")).map(({ type }) => type)).toEqual(["abort", "start"]);
  });

  it("sends a vector that lies ready without training again", () => {
    const { round, attempt, base } = opening(1);
    expect(started(online({ round, attempt, base }).feed(at("mask")))).toEqual(["uploading"]);
  });

  it("sits an attempt out in which it cannot go on, says so until it is heard, and takes part in the next", () => {
    const bench = online();
    bench.feed(at("share"));
    const satOut = { opening: opening(1), reason: "secagg.spent", culprits: [] };
    expect(bench.failed("secagg.spent")).toEqual([{ type: "sitOut", satOut }]);
    expect(bench.feed(at("share"))).toEqual([{ type: "sitOut", satOut }]);
    expect(bench.feed(at("share", false))).toEqual([]);
    expect(started(bench.feed(at("advertise", true, 2)))).toEqual(["fetching"]);
  });

  it("looks at its images in the round before the first, where it would train in the others", () => {
    const bench = online();
    const standing = { ...open(0), masking: { step: "mask", wanted: true } } as Standing;
    expect(started(bench.feed({ type: "position", standing }))).toEqual(["fetching"]);
    expect([bench.done(), bench.done(), bench.done()].flatMap(started)).toEqual([
      "fingerprinting",
      "sealing",
      "uploading",
    ]);
  });

  it("stops where sites were shown different things", () => {
    for (const code of ["secagg.equivocation", "crypto.bad-signature", "secagg.roster-changed"] as const) {
      const bench = online();
      bench.feed(at("share"));
      bench.failed(code);
      expect(bench.state.work).toMatchObject({ kind: "failed", error: { code } });
    }
  });
});
