/** Sites whose clocks are wrong, or are set while they work. Summer time is in governance/hours.test.ts, sleep in test/chaos. */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { arithmeticTrainer, TestFederation, type TestSite } from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";
import type { Trainer } from "../training/types.ts";
import { receiptsFile } from "./receipts.ts";

const HOUR_MS = 3_600_000;
const DELTA = 1;

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

async function start(rounds: number, ...names: readonly string[]) {
  const running = await TestFederation.start({ rounds, minSites: names.length });
  federation = running;
  return { running, sites: await Promise.all(names.map((name) => running.site(name))) };
}

/** A clock that is right but for what it was set to. */
function settable() {
  const clock = { offMs: 0, nowMs: () => Date.now() + clock.offMs };
  return clock;
}

/** What became of its updates, by its receipts. */
const updates = async ({ home }: TestSite): Promise<string[]> =>
  (await receiptsFile(home.receiptsFile).list())
    .filter(({ kind }) => kind === "contribution")
    .map(({ round, attempt, state }) => `${round}.${attempt} ${state}`);

describe("a site's clock", () => {
  it("an hour slow, an hour fast, or jumping to and fro at every look: the same model, and each update sent once", async () => {
    const { sites } = await start(2, "right", "slow", "fast", "jumping");
    let looks = 0;
    const clocks = [
      Date.now,
      () => Date.now() - HOUR_MS,
      () => Date.now() + HOUR_MS,
      () => Date.now() + (looks++ % 2 === 0 ? HOUR_MS : -HOUR_MS),
    ];
    const runs = sites.map((site, i) => site.run(arithmeticTrainer(DELTA), { nowMs: clocks[i] ?? Date.now }));
    const results = await Promise.all(runs.map(({ result }) => result));
    expect(results.map(({ contributions }) => contributions)).toEqual([2, 2, 2, 2]);
    for (const site of sites) {
      const { home } = site;
      expect(await updates(site)).toEqual(["1.1 sending", "1.1 accepted", "2.1 sending", "2.1 accepted"]);
      expect((await readModel(home, "global")).values[0]).toBeCloseTo(2 * DELTA, 5);
    }
  });

  it("set back by an hour in the middle of a training does not make the site silent", async () => {
    const { running, sites } = await start(1, "a");
    const clock = settable();
    const inner = arithmeticTrainer(DELTA);
    const toldOf = async (done: number): Promise<void> => {
      const told = (): unknown => running.coordinator.federations.get("lungs").status().sites[0]?.done;
      while (told() !== done) await delay(5);
    };
    const trainer: Trainer = {
      ...inner,
      async train(request, onProgress, signal) {
        const step = (at: number): void => {
          onProgress({ step: at, steps: 10, loss: 1, imagesPerSecond: 1 });
        };
        for (const [at, offMs] of [0, -HOUR_MS, 0, HOUR_MS, -HOUR_MS].entries()) {
          clock.offMs = offMs;
          if (at > 0) step(at);
          if (at > 0) await toldOf(at);
        }
        return inner.train(request, onProgress, signal);
      },
    };
    const [a] = sites;
    await a?.run(trainer, { nowMs: clock.nowMs }).result;
  });
});
