import type { RoundHealth } from "@consilium/shared/health/schema";
import type { Attempt, Round } from "@consilium/shared/ids";
import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import type { RoundRow } from "../store/store.ts";
import { hashOf, header, record, siteId } from "../testing/values.ts";
import { alarmAfter, healthOf, withAlarm } from "./health.ts";
import { Ledger } from "./ledger.ts";
import { restoreState } from "./recovery.ts";
import { transition } from "./reducer.ts";
import { initialState } from "./state.ts";
import { summarise } from "./status.ts";
import type { FederationEvent, FederationState } from "./types.ts";

const rules = {
  rounds: 3,
  minSites: 2,
  roundDeadlineMs: 1000,
  gatherMs: 50,
  secure: "plain",
  acceptance: null,
} as const;
const genesis = hashOf("checkpoint 0");
const north = siteId("north");
const south = siteId("south");
const atMs = 0;

function after(state: FederationState, ledger: Ledger, ...events: readonly FederationEvent[]) {
  const facts: string[] = [];
  for (const event of events) {
    const next = transition(state, event);
    state = next.state;
    for (const fact of next.facts) {
      ledger.apply(fact, atMs);
      facts.push(fact.fact);
    }
  }
  return { state, facts };
}

const roundOf = (round: number, alarm?: string): FederationEvent[] => [
  { type: "contribution.received", header: header("north", round, 1), atMs },
  { type: "contribution.received", header: header("south", round, 1), atMs },
  { type: "round.aggregated", attempt: 1 as Attempt, record: record(round), alarm, atMs },
];
const beginning: FederationEvent[] = [
  { type: "site.enrolled", site: north, atMs },
  { type: "site.enrolled", site: south, atMs },
  { type: "site.connected", site: north, genesis, atMs },
  { type: "site.connected", site: south, genesis, atMs },
  { type: "genesis.uploaded", record: record(0), atMs },
];
const newLedger = (): Ledger => new Ledger([], [], [], null);

it("keeps the model of an alarming round, and opens no other until a person says so, also after a restart", () => {
  const ledger = newLedger();
  const stopped = after(initialState(rules), ledger, ...beginning, ...roundOf(1, "all alike"));
  expect(stopped.facts.slice(-2)).toEqual(["round.aggregated", "federation.paused"]);
  expect(stopped.state).toMatchObject({
    checkpoint: hashOf("checkpoint 1"),
    position: { phase: "paused", round: 2, attempt: 1 },
  });
  expect(summarise(stopped.state)).toContain("Paused before round 2: all alike");

  const restored = (alarm?: string) =>
    restoreState(rules, {
      roster: [north, south],
      checkpoints: ledger.checkpoints.map(({ body }) => body),
      rounds: ledger.rounds,
      cohort: null,
      alarm,
    }).position;
  expect(restored("all alike")).toEqual(stopped.state.position);

  const resumed = after(stopped.state, ledger, { type: "operator.resumed", atMs });
  expect(resumed.facts).toEqual(["federation.resumed", "round.opened"]);
  expect(resumed.state.position).toMatchObject({ phase: "open", round: 2, attempt: 1 });
});

it("finishes a last round that alarms", () => {
  const events = [...beginning, ...roundOf(1, "all alike")];
  expect(after(initialState({ ...rules, rounds: 1 }), newLedger(), ...events).state.position.phase).toBe(
    "finished",
  );
});

const healthy: RoundHealth = {
  width: 100,
  rankMe: 40,
  participationRatio: 8,
  featureStdDev: 0.05,
  alignment: 0.1,
  heldOutLoss: 0.7,
  meanAnswerLoss: 1,
  neighbours: null,
  probe: null,
  commonest: null,
};
const collapsed: RoundHealth = { ...healthy, featureStdDev: 1e-4, rankMe: 1.2 };

const row = (round: number, health: RoundHealth, outcome: RoundRow["outcome"] = "aggregated"): RoundRow => ({
  round: round as Round,
  attempt: 1 as Attempt,
  base: genesis,
  cohort: [north, south],
  outcome,
  openedAtMs: 0,
  closedAtMs: 1,
  excluded: [],
  checkpoint: genesis,
  masking: null,
  totals: null,
  serverState: null,
  average: null,
  verdict: null,
  resumed: false,
  contributions: [
    { site: north, examples: 10, metrics: null, health, sealedSha256: genesis, sealedBytes: 1 },
  ],
});

it("alarms when features have lost their spread for some rounds, as far as the plan wants to know", () => {
  const plan = parsePlan({ federation: "chest", title: "Chest", rounds: 9 });
  const after = (...healths: RoundHealth[]) => alarmAfter(plan, rows(...healths));
  const rows = (...healths: RoundHealth[]) => healths.map((health, i) => row(i + 1, health));
  const four = [collapsed, collapsed, collapsed, collapsed] as const;
  expect(after(...four)).toContain("nearly the same of every image");
  expect(after(...four.slice(1))).toBeUndefined();
  expect(after(collapsed, healthy, collapsed, collapsed, collapsed)).toBeUndefined();
  expect(after(...four, healthy)).toBeUndefined();
  const deaf = { ...plan, health: { images: 64, leastSpread: 0 } };
  expect(alarmAfter(deaf, rows(...four))).toBeUndefined();

  // On its way back, or of use to those who have labels.
  const half = { ...collapsed, featureStdDev: collapsed.featureStdDev / 2 };
  expect(after(collapsed, collapsed, half, collapsed)).toBeUndefined();
  expect(after(collapsed, collapsed, collapsed, half)).toContain("nearly the same");
  const labelled = (probe: number) => ({ ...collapsed, probe, commonest: 0.6 });
  expect(after(...four.map(() => labelled(0.9)))).toBeUndefined();
  expect(after(...four.map(() => labelled(0.62)))).toContain("nearly the same");

  // Whoever resumed has seen what came before.
  const [first, second, third, fourth] = rows(...four);
  const resumed = [first, second, third, { ...fourth, resumed: true }] as RoundRow[];
  expect(alarmAfter(plan, [...resumed, row(5, collapsed)])).toBeUndefined();
  expect(alarmAfter(plan, [...resumed, ...[5, 6, 7, 8].map((round) => row(round, collapsed))])).toBeDefined();

  // The same before the round is on record as after it.
  const rounds = [...rows(...four.slice(1)), row(4, collapsed, "closed")];
  const event = { type: "round.aggregated", attempt: 1 as Attempt, record: record(4) } as const;
  expect(withAlarm(event, plan, rounds)).toMatchObject({ alarm: after(...four) });
});

it("averages by images what sites say where nothing is masked, and takes what is null for unsaid", () => {
  const { contributions } = row(1, healthy);
  const other = { site: south, examples: 30, metrics: null, sealedSha256: genesis, sealedBytes: 1 };
  const health = { ...healthy, rankMe: 80, heldOutLoss: null };
  const mean = healthOf({ contributions: [...contributions, { ...other, health }], totals: null });
  expect(mean).toMatchObject({ rankMe: 70, heldOutLoss: 0.7, probe: null });
  expect(healthOf({ contributions: [other], totals: null })).toBeNull();
});
