/**
 * A whole round of three sites with and without masks: real coordinator, real agents, real sockets and disks, and for the
 * training a rest, because hospitals have machines of their own. What masks cost beside it is what the round takes longer.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Fact } from "../../coordinator/src/federation/types.ts";
import { arithmeticTrainer, TestFederation } from "../support/federation.ts";

const SITES = ["a", "b", "c"] as const;

/** From opening the round until its aggregate is committed. */
export async function roundSeconds(
  secure: "masked" | "plain",
  parameters: number,
  trainingMs: number,
): Promise<number> {
  const federation = await TestFederation.start({
    rounds: 1,
    minSites: SITES.length,
    training: { warmupRounds: 0, optimizerState: "reset" },
    aggregation: { secure, examplesCap: 10 },
  });
  try {
    const sites = await Promise.all(SITES.map((name) => federation.site(name)));
    const opened = committed(federation, "round.opened");
    const aggregated = committed(federation, "round.aggregated");
    const runs = sites.map((site) =>
      site.run(
        arithmeticTrainer(1e-5, parameters, (_request, signal) => delay(trainingMs, undefined, { signal })),
      ),
    );
    const startMs = await opened;
    const endMs = await aggregated;
    await Promise.all(runs.map(({ result }) => result));
    return (endMs - startMs) / 1000;
  } finally {
    await federation.close();
  }
}

/** When the coordinator commits the first fact of that kind about an update. */
function committed(federation: TestFederation, kind: Fact["fact"]): Promise<number> {
  return new Promise((resolve) => {
    for (const service of federation.coordinator.federations.all()) {
      service.subscribe(({ facts }) => {
        // Before the updates' rounds there may be one for what the images are like.
        const isIt = (fact: Fact): boolean =>
          fact.fact === kind && !("round" in fact && Number(fact.round) === 0);
        if (facts.some(isIt)) resolve(performance.now());
      });
    }
  });
}
