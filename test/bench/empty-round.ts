/**
 * What a round costs when there is nothing to do in it: ten sites, a tiny model, no training. Beside it, where Python has
 * it: Flower with as many clients and a vector of the same size.
 */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { isOpen } from "../../coordinator/src/testing/fake-site.ts";
import { atMost, type Benchmark, type Figure, type Target } from "./bench.ts";
import { MeasuredCoordinator } from "./federation/coordinator.ts";
import { disperse, gather } from "./federation/crowd.ts";
import { maskedRound } from "./federation/simulated-site.ts";
import { median } from "./statistics.ts";

const SITES = 10;
const PARAMETERS = 1000;
const PEER = path.join(import.meta.dirname, "peers", "rounds_flower.py");
const flowerSchema = z.object({ flower: z.string(), roundMs: z.array(z.number()) });

/** Milliseconds of each round but the first, in which programs warm up. */
async function roundsOf(secure: "masked" | "plain", rounds: number, log: (line: string) => void) {
  const aggregation = { secure };
  const input = { federation: "empty", title: "Empty", rounds: rounds + 1, minSites: SITES, aggregation };
  const coordinator = await MeasuredCoordinator.start(input);
  try {
    log(`${secure}: ${rounds} rounds of ${SITES} sites`);
    const crowd = await gather(coordinator, SITES, PARAMETERS);
    const begunMs: number[] = [];
    for (let round = 1; round <= rounds + 1; round++) {
      const positions = await Promise.all(crowd.sites.map((site) => site.waitFor(isOpen(round))));
      begunMs.push(performance.now());
      const opening = positions[0]?.opening.body;
      if (opening === undefined) throw new Error("there are sites");
      await Promise.all(crowd.sites.map((site) => site.fetchBase(opening)));
      if (secure === "masked") await maskedRound(crowd.sites, opening, coordinator.plan, () => undefined);
      else await Promise.all(crowd.sites.map((site) => site.sealPlain(opening)()));
    }
    disperse(crowd);
    return begunMs.slice(2).map((ms, i) => ms - (begunMs[i + 1] ?? NaN));
  } finally {
    await coordinator.close();
  }
}

async function flowerRounds(rounds: number): Promise<z.infer<typeof flowerSchema> | null> {
  const python = process.env["CONSILIUM_PYTHON"] ?? "python3";
  try {
    await promisify(execFile)(python, ["-c", "import flwr"]);
  } catch {
    return null;
  }
  const args = [PEER, ...[SITES, PARAMETERS, rounds].map(String)];
  const { stdout } = await promisify(execFile)(python, args, { maxBuffer: 2 ** 26 });
  return flowerSchema.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""));
}

export const emptyRound: Benchmark = {
  name: "empty-round",
  summary: "a round of 10 sites without training, masked and plain; beside Flower",
  help: "--repeats 10               rounds, after one to warm up",
  run: async ({ repeats }, log) => {
    const rounds = repeats ?? 10;
    const results: Figure[] = [];
    const targets: Target[] = [];
    for (const secure of ["plain", "masked"] as const) {
      const ms = median(await roundsOf(secure, rounds, log));
      targets.push(atMost(`${secure}: a round, sites included`, ms, 300, " ms"));
    }
    log("Flower");
    const flower = await flowerRounds(rounds);
    if (flower !== null) {
      const label = `Flower ${flower.flower}: a round, unmasked and not stored`;
      results.push({ label, value: median(flower.roundMs.slice(1)), unit: "ms" });
    }
    return {
      results,
      targets,
      notes: [
        "Rounds are encrypted, signed, written with fsync and audited; sites fetch each model anew.",
        ...(flower === null
          ? ["Flower was left out: set CONSILIUM_PYTHON to a Python that can import flwr (pip install flwr)"]
          : []),
      ],
    };
  },
};
