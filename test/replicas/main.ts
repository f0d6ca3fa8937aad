/**
 * `npm run replicas`: three coordinators, two federations. The one that runs a masked round is killed in the middle of it,
 * the next one is stopped and continued; then two over TLS (over-tls.ts). Says what it does and how long it took; exit code 1
 * if anything was lost.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { decodeCheckpoint } from "@consilium/shared/codec";
import { describeError } from "@consilium/shared/errors";
import type { PlanInput } from "@consilium/shared/plan";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { z } from "zod";
import { verifyChain } from "@consilium/shared/audit/chain";
import { whyNoPostgres } from "../../coordinator/src/testing/postgres-server.ts";
import { arithmeticTrainer, type AgentRun, type ArithmeticTrainer } from "../support/federation.ts";
import { Cluster } from "./cluster.ts";
import { overTls } from "./over-tls.ts";

const FAIL_OVER_MS = 15_000;
const DELTA = 0.001;
const ROUNDS = 3;
const ELEMENTS = 1000;

const plan = (federation: string, change: Partial<PlanInput>): PlanInput => ({
  federation,
  title: federation,
  rounds: ROUNDS,
  minSites: 2,
  training: { warmupRounds: 0 },
  ...change,
});
const CHEST = plan("chest", { minSites: 3, aggregation: { secure: "masked" } });
const KNEE = plan("knee", { aggregation: { secure: "plain" } });

const say = (text: string): void => {
  console.log(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}`);
};

/** Something that a training waits for. */
class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}

async function until(what: string, isSo: () => Promise<boolean>, withinMs = 60_000): Promise<number> {
  const startedMs = performance.now();
  while (!(await isSo().catch(() => false))) {
    if (performance.now() - startedMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(50);
  }
  return performance.now() - startedMs;
}

async function run(cluster: Cluster): Promise<void> {
  const gates = new Map([2, 3].map((round) => [round, new Gate()]));
  const trainers: Record<string, ArithmeticTrainer> = {};
  const runs: AgentRun[] = [];
  const launch = async (federation: string, name: string, waits: boolean): Promise<AgentRun> => {
    const site = await cluster.site(federation, name);
    const wait = (round: number) => (waits ? gates.get(round)?.opened : undefined);
    const trainer = arithmeticTrainer(DELTA, ELEMENTS, async ({ round }) => wait(round));
    trainers[`${federation}/${name}`] = trainer;
    const agent = site.run(trainer, { patience: 1 });
    runs.push(agent);
    agent.result.catch((error: unknown) => {
      say(`${name} of ${federation} gave up: ${describeError(error).replaceAll("\n", "")}`);
    });
    return agent;
  };
  const contributions = async (federation: string, round: number): Promise<string[]> => {
    const { rows } = await cluster.database.query<{ site: string; attempt: number }>(
      "SELECT site, attempt FROM contributions WHERE federation = $1 AND round = $2 ORDER BY site",
      [federation, round],
    );
    return rows.map(({ site, attempt }) => `${site} ${attempt}`);
  };

  const [north] = [await launch("chest", "north", false)];
  await launch("chest", "south", true);
  const west = await launch("chest", "west", true);
  await launch("knee", "north", false);
  await launch("knee", "south", false);

  await until("one site has sent its masked update of round 2", async () =>
    (await contributions("chest", 2)).includes("north 1"),
  );
  const first = await cluster.holderOf("chest");
  say(
    `chest is in round 2, run by coordinator ${first}; north has sent, south and west are training: kill -9`,
  );
  await cluster.replicas[first]?.kill("SIGKILL");

  const reports = west.reports.length;
  const movedMs = await until(
    "another coordinator runs it and its sites are back",
    async () => {
      const holder = await cluster.holderOf("chest");
      if (holder === first) return false;
      const statuses = z.array(federationStatusSchema).parse(await cluster.statusAt(holder));
      const chest = statuses.find(({ federation }) => federation === "chest");
      return chest?.round === 2 && chest.sites.every(({ connected }) => connected);
    },
    30_000,
  );
  const second = await cluster.holderOf("chest");
  say(`coordinator ${second} runs it, every site connected, after ${(movedMs / 1000).toFixed(1)} s`);
  assert.ok(movedMs <= FAIL_OVER_MS, "fail-over within 15 s");
  assert.deepEqual(await contributions("chest", 2), ["north 1"], "what was acknowledged is there");
  assert.ok(west.reports.length >= reports);

  gates.get(2)?.open();
  await until("round 3 has its first update", async () =>
    (await contributions("chest", 3)).includes("north 1"),
  );
  assert.deepEqual(await contributions("chest", 2), ["north 1", "south 1", "west 1"], "one attempt");
  say("round 2 ended in its first attempt; round 3 waits for south and west: the coordinator is stopped");

  await cluster.startReplica(first);
  cluster.stop(second);
  const stoppedMs = await until(
    "another coordinator runs it",
    async () => (await cluster.holderOf("chest")) !== second,
    30_000,
  );
  const third = await cluster.holderOf("chest");
  say(`coordinator ${third} took it over after ${(stoppedMs / 1000).toFixed(1)} s`);
  assert.ok(stoppedMs <= FAIL_OVER_MS, "fail-over of a hung coordinator within 15 s");
  gates.get(3)?.open();
  cluster.resume(second);
  say(`coordinator ${second} goes on as if nothing had been`);

  const results = await Promise.all(runs.map(({ result }) => result));
  assert.deepEqual(
    results.map(({ rounds }) => rounds),
    runs.map(() => ROUNDS),
    "every site came to the end",
  );
  assert.equal((await north.result).checkpoint, (await west.result).checkpoint, "one global model");
  for (const [name, trainer] of Object.entries(trainers)) {
    const rounds = trainer.begun.map(({ round }) => round);
    assert.deepEqual(rounds, [1, 2, 3], `${name} trained each round once`);
  }
  const { rows } = await cluster.database.query<{ federation: string; round: number; outcome: string }>(
    "SELECT federation, round, outcome FROM rounds WHERE round > 0 ORDER BY federation, round, attempt",
  );
  assert.deepEqual(
    rows.map(({ federation, round, outcome }) => `${federation} ${round} ${outcome}`),
    ["chest", "knee"].flatMap((name) => [1, 2, 3].map((round) => `${name} ${round} aggregated`)),
    "each round once",
  );
  const { rows: lines } = await cluster.database.query<{ line: string }>(
    "SELECT line FROM audit ORDER BY seq",
  );
  assert.equal(verifyChain(lines.map(({ line }) => line)).ok, true, "one audit chain");
  assert.ok(
    (await largestError(cluster, (await north.result).checkpoint)) < 1e-6,
    "the sum of what was sent",
  );
  const views = await Promise.all([0, 1, 2].map((index) => cluster.statusAt(index)));
  for (const view of views) {
    const statuses = z.array(federationStatusSchema).parse(view);
    assert.deepEqual(
      statuses.map(({ federation, phase }) => `${federation} ${phase}`),
      ["chest finished", "knee finished"],
      "every coordinator tells of all federations",
    );
  }
  say(
    "both federations finished: no update lost, none counted twice, one audit chain, every coordinator agrees",
  );
}

/** Of the global model against the initial one and the sum of the deltas. */
async function largestError(cluster: Cluster, checkpoint: string): Promise<number> {
  const response = await fetch(`${cluster.url}/api/blobs/${checkpoint}`, {
    headers: { authorization: `Bearer ${cluster.operatorToken}` },
  });
  const { values } = decodeCheckpoint(new Uint8Array(await response.arrayBuffer()));
  return values.reduce(
    (largest, value, i) => Math.max(largest, Math.abs(value - (i / ELEMENTS + ROUNDS * DELTA))),
    0,
  );
}

if (whyNoPostgres !== null) {
  say(`skipped: ${whyNoPostgres}`);
} else {
  const cluster = await Cluster.start(3, [CHEST, KNEE]);
  try {
    say("three coordinators, two federations, one balancer");
    await run(cluster);
  } catch (error) {
    console.error(error);
    if (process.argv.includes("--verbose")) for (const { output } of cluster.replicas) console.error(output);
    process.exitCode = 1;
  } finally {
    await cluster.close();
  }
  await overTls(say).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
  // Sockets of agents that failed would keep the process.
  process.exit();
}
