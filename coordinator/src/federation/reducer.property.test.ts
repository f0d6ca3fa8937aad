/** Whatever happens, in whatever order: rounds only go forward and nothing is counted twice. */
import type { Attempt, Round } from "@consilium/shared/ids";
import fc from "fast-check";
import { expect, it } from "vitest";
import { federation, hashOf, header, record, siteId } from "../testing/values.ts";
import { Ledger } from "./ledger.ts";
import { movedBy, positionFor } from "./position.ts";
import { restoreState } from "./recovery.ts";
import { transition } from "./reducer.ts";
import { initialState } from "./state.ts";
import type { Fact, FederationEvent, FederationState } from "./types.ts";

const rules = {
  rounds: 4,
  minSites: 2,
  roundDeadlineMs: 1000,
  gatherMs: 10,
  secure: "plain",
  acceptance: null,
} as const;
const names = ["a", "b", "c", "d"];

/** A happening that is aimed at the current round, the one before or the one after; the state decides which exist. */
type Aim = (state: FederationState) => FederationEvent;

const site = fc.constantFrom(...names);
const shift = fc.constantFrom(-1, 0, 0, 0, 0, 0, 0, 0, 0, 1);

function current(state: FederationState): { round: number; attempt: number } {
  return state.position.phase === "finished" ? { round: rules.rounds, attempt: 1 } : state.position;
}

const aims: fc.Arbitrary<Aim> = fc.oneof(
  site.map((name): Aim => () => ({ type: "site.enrolled", site: siteId(name), atMs: 0 })),
  {
    weight: 3,
    arbitrary: site.map(
      (name): Aim =>
        (state) =>
          connected(state, name),
    ),
  },
  site.map((name): Aim => () => ({ type: "site.disconnected", site: siteId(name), atMs: 0 })),
  fc.constant<Aim>(() => ({ type: "genesis.uploaded", record: record(0), atMs: 0 })),
  {
    weight: 30,
    arbitrary: fc.tuple(site, shift, shift).map(([name, rounds, attempts]): Aim => (state) => {
      const { round, attempt } = current(state);
      return {
        type: "contribution.received",
        header: header(name, Math.max(1, round + rounds), Math.max(1, attempt + attempts)),
        atMs: 0,
      };
    }),
  },
  fc.tuple(site, fc.constantFrom("contribution.refused", "contribution.lost")).map(([name, type]): Aim => {
    return (state) => {
      const { round, attempt } = current(state);
      const place = { round: round as Round, attempt: attempt as Attempt };
      return { type, ...place, site: siteId(name), reason: "reason", atMs: 0 };
    };
  }),
  shift.map((attempts): Aim => (state) => {
    const { round, attempt } = current(state);
    const passed = Math.max(1, attempt + attempts) as Attempt;
    return { type: "deadline.passed", round: round as Round, attempt: passed, atMs: 0 };
  }),
  fc.constant<Aim>(() => ({ type: "gathering.ended", atMs: 0 })),
  {
    weight: 12,
    arbitrary: shift.map((rounds): Aim => (state) => {
      const { round, attempt } = current(state);
      const produced = record(Math.max(1, round + rounds));
      return { type: "round.aggregated", attempt: attempt as Attempt, record: produced, atMs: 0 };
    }),
  },
  fc.constant<Aim>(() => ({ type: "coordinator.recovered", atMs: 0 })),
);

function connected(state: FederationState, name: string): FederationEvent {
  const known = state.roster.includes(siteId(name));
  return known
    ? { type: "site.connected", site: siteId(name), genesis: hashOf("checkpoint 0"), atMs: 0 }
    : { type: "site.enrolled", site: siteId(name), atMs: 0 };
}

function play(history: readonly Aim[]) {
  let state = initialState(rules);
  const facts: Fact[] = [];
  for (const aim of history) {
    const next = transition(state, aim(state));
    state = next.state;
    facts.push(...next.facts);
  }
  return { state, facts };
}

/** Most histories begin with everyone there, or few would get beyond the first round. */
const start: readonly Aim[] = [
  ...[...names, ...names].map(
    (name): Aim =>
      (state) =>
        connected(state, name),
  ),
  () => ({ type: "genesis.uploaded", record: record(0), atMs: 0 }),
];
const histories = fc
  .tuple(
    fc.constantFrom<readonly Aim[]>([], start, start),
    fc.array(aims, { minLength: 20, maxLength: 200, size: "max" }),
  )
  .map(([before, after]) => [...before, ...after]);

it("opens rounds and attempts in order, each once", () => {
  fc.assert(
    fc.property(histories, (history) => {
      const opened = play(history).facts.flatMap((fact) => (fact.fact === "round.opened" ? [fact] : []));
      for (const [i, { round, attempt }] of opened.entries()) {
        const before = opened[i - 1] ?? { round: 1, attempt: 0 };
        const retried = round === before.round && attempt === before.attempt + 1;
        const advanced = round === before.round + 1 && attempt === 1;
        expect(retried || advanced).toBe(true);
      }
    }),
  );
});

it("counts a site at most once in an attempt, and aggregates only with enough sites of the cohort", () => {
  fc.assert(
    fc.property(histories, (history) => {
      const counted = new Map<string, Set<string>>();
      let cohort: readonly string[] = [];
      for (const fact of play(history).facts) {
        if (fact.fact === "round.opened") cohort = fact.cohort;
        if (fact.fact === "contribution.accepted" || fact.fact === "contribution.dropped") {
          const {
            round,
            attempt,
            site: from,
          } = fact.fact === "contribution.accepted" ? fact.header.body : fact;
          const sites = counted.get(`${round}/${attempt}`) ?? new Set();
          counted.set(`${round}/${attempt}`, sites);
          expect(sites.has(from)).toBe(fact.fact === "contribution.dropped");
          if (fact.fact === "contribution.dropped") sites.delete(from);
          else sites.add(from);
          expect(cohort).toContain(from);
        }
        if (fact.fact === "round.aggregated") {
          expect(counted.get(`${fact.round}/${fact.attempt}`)?.size).toBeGreaterThanOrEqual(rules.minSites);
        }
      }
    }),
  );
});

it("plays histories that get far", () => {
  const finished = fc.sample(histories, { numRuns: 100, seed: 1 }).filter((history) => {
    return play(history).state.position.phase === "finished";
  });
  expect(finished.length).toBeGreaterThan(10);
});

it("produces each round's checkpoint once and in order, then finishes", () => {
  fc.assert(
    fc.property(histories, (history) => {
      const { facts, state } = play(history);
      const rounds = facts.flatMap((fact) => (fact.fact === "round.aggregated" ? [fact.round] : []));
      expect(rounds).toEqual(rounds.map((_, i) => i + 1));
      expect(state.position.phase === "finished").toBe(rounds.length === rules.rounds);
    }),
  );
});

it("moves nobody's position but those of the sites that it names", () => {
  const openings: Parameters<typeof positionFor>[2]["openings"] = {
    opening: ({ round, attempt, base, cohort }) => {
      const body = { federation, planHash: hashOf("plan"), round, attempt, base, cohort: [...cohort] };
      return { body, signature: "A".repeat(86) };
    },
    released: () => record(0),
  };
  fc.assert(
    fc.property(histories, (history) => {
      let state = initialState(rules);
      for (const aim of history) {
        const next = transition(state, aim(state));
        const moved = movedBy(next.facts);
        for (const name of moved === null ? [] : names.filter((one) => !moved.has(siteId(one)))) {
          const told = [state, next.state].map((each) =>
            positionFor(siteId(name), each, { openings, newest: undefined, nowMs: 0 }),
          );
          expect(told[0]).toEqual(told[1]);
        }
        state = next.state;
      }
    }),
  );
});

it("recovers from the recorded facts to where it was", () => {
  fc.assert(
    fc.property(histories, (history) => {
      const { facts, state } = play(history);
      const ledger = new Ledger([], [], []);
      for (const fact of facts) ledger.apply(fact, 0);
      const stored = {
        roster: state.roster,
        checkpoints: ledger.checkpoints.map(({ body }) => body),
        rounds: ledger.rounds,
        cohort: ledger.cohort,
      };
      const restored = restoreState(rules, stored);
      const again = transition(restored, { type: "coordinator.recovered", atMs: 0 });
      const recovered = transition(state, { type: "coordinator.recovered", atMs: 0 });
      // What was refused is not recorded: those sites may simply try again.
      const forgetful = ({ position, ...rest }: FederationState) => ({
        ...rest,
        position: position.phase === "open" ? { ...position, refused: [] } : position,
      });
      expect(forgetful(again.state)).toEqual(forgetful(recovered.state));
    }),
  );
});
