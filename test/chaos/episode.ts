/** One federation from its first round to its last while its seed's faults happen to it, and what came of it. */
import { setTimeout as delay } from "node:timers/promises";
import type { Plan } from "@consilium/shared/plan";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { check } from "./check.ts";
import { inflict, nextFault, type Fault } from "./faults.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

export interface EpisodeOptions {
  readonly seed: number;
  readonly secure: Plan["aggregation"]["secure"];
  /** Faults stop after so long; then the federation is left in peace to finish. */
  readonly stormMs: number;
  readonly rounds: number;
  readonly log: (line: string) => void;
}

export interface Episode {
  readonly seed: number;
  readonly secure: Plan["aggregation"]["secure"];
  readonly faults: Readonly<Record<string, number>>;
  /** Faults that were left out, and why. */
  readonly skipped: readonly string[];
  readonly kills: number;
  readonly attempts: number;
  readonly seconds: number;
  /** None, if all is well. */
  readonly broken: readonly string[];
}

const TRAINING_MS = 400;
const SITES = 4;
/** In peace, so many attempts at a round cannot fail one after another. */
const PEACE_MS = 150_000;

export async function runEpisode({ seed, secure, stormMs, rounds, log }: EpisodeOptions): Promise<Episode> {
  const startedMs = performance.now();
  const random = new Random(seed);
  const world = await World.create({ secure, sites: SITES, rounds, trainingMs: TRAINING_MS });
  if (world.linkless !== null) log(`  no site has a network of its own: ${world.linkless}`);
  const faults: Fault[] = [];
  const seen: FederationStatus[] = [];
  try {
    for (const site of world.sites) site.process.start();
    const watching = new AbortController();
    const watch = watchStatus(world, seen, watching.signal);
    const underWay = new Set<Promise<void>>();
    const stormEndsMs = performance.now() + stormMs;
    while (performance.now() < stormEndsMs && !hasEnded(world)) {
      const { afterMs, name } = nextFault(random);
      // Every fault draws from a generator of its own, so that what one waits for does not change the next.
      const own = new Random(Math.floor(random.next() * 2 ** 32));
      await delay(afterMs);
      const fault = inflict(world, name, own)
        .then((done) => {
          faults.push(done);
          log(
            `  ${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${name} ${done.target}${done.skipped === null ? "" : ` (left out: ${done.skipped})`}`,
          );
        })
        .finally(() => underWay.delete(fault));
      underWay.add(fault);
    }
    await Promise.all(underWay);
    const deadlineMs = performance.now() + PEACE_MS;
    while (!hasEnded(world) && performance.now() < deadlineMs) await delay(200);
    watching.abort();
    await watch;
    const last = await lastStatus(world);
    if (last !== null) seen.push(last);
    const broken = await check(world, seen);
    const code = await world.coordinator.stop("SIGTERM");
    if (code !== 0) broken.push(`the coordinator ended with code ${String(code)}`);
    if (broken.length > 0)
      for (const { name, output } of world.processes) {
        log(`--- ${name}`);
        for (const line of output.slice(-40)) log(line);
      }
    return {
      seed,
      secure,
      faults: countBy(faults.map(({ name }) => name)),
      skipped: [
        ...new Set(faults.flatMap(({ name, skipped }) => (skipped === null ? [] : [`${name}: ${skipped}`]))),
      ],
      kills: faults.reduce((sum, { kills }) => sum + kills, 0),
      attempts: last?.history.length ?? 0,
      seconds: Math.round((performance.now() - startedMs) / 1000),
      broken,
    };
  } finally {
    await world.close();
  }
}

const hasEnded = (world: World): boolean => world.sites.every((site) => site.process.ended !== null);

async function watchStatus(world: World, seen: FederationStatus[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const status = await world.status();
    if (status !== null) seen.push(status);
    await delay(500, undefined, { signal }).catch(() => undefined);
  }
}

/** The coordinator may just be starting. */
async function lastStatus(world: World): Promise<FederationStatus | null> {
  for (let tries = 0; tries < 40; tries++) {
    const status = await world.status();
    if (status !== null) return status;
    await delay(500);
  }
  return null;
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
