/** Masked federations of real agents and a real coordinator, under what kills and delays them. */
import { writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { countScores } from "@consilium/shared/evaluation/auroc";
import { vectorLength } from "@consilium/shared/manifest";
import type { PlanInput } from "@consilium/shared/plan";
import { afterEach, describe, expect, it } from "vitest";
import {
  arithmeticTrainer,
  isMaskedFrame,
  TestFederation,
  type TestSite,
} from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";
import type { LocalRoundRequest, Trainer } from "../training/types.ts";
import type { AgentPhase } from "./phase.ts";
import { receiptsFile } from "./receipts.ts";
import { entropyPerByte } from "../../../test/support/entropy.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

const NAMES = ["a", "b", "c"] as const;
const CAP = 64;

async function start(
  rounds: number,
  more: Partial<PlanInput> = {},
): Promise<{ federation: TestFederation; sites: TestSite[] }> {
  const started = await TestFederation.start({
    rounds,
    minSites: NAMES.length,
    aggregation: { examplesCap: CAP },
    ...more,
  });
  federation = started;
  return { federation: started, sites: await Promise.all(NAMES.map((name) => started.site(name))) };
}

/** Deterministic numbers in [-1, 1): mulberry32, cubed for a heavy tail. */
function noise(seed: number, length: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) ** 3;
  });
}

interface NoisyTrainer extends Trainer {
  readonly delta: Float32Array;
  readonly examples: number;
}

/** Starts from zeros, so that the first global model is the mean update itself. */
function noisyTrainer(
  site: number,
  elements: number,
  before?: (request: LocalRoundRequest, signal: AbortSignal) => Promise<unknown>,
): NoisyTrainer {
  const inner = arithmeticTrainer(0, elements, before);
  const delta = noise(site + 1, elements).map((value) => value * 1e-3);
  const examples = CAP - 7 * site;
  return {
    ...inner,
    delta,
    examples,
    async genesis(plan, start) {
      const { manifest, changes } = await inner.genesis(plan, start);
      return { manifest, values: new Float32Array(vectorLength(manifest)), changes };
    },
    async train(request, onProgress, signal) {
      return { ...(await inner.train(request, onProgress, signal)), delta, examples };
    },
  };
}

function weightedMean(trainers: readonly NoisyTrainer[]): Float64Array {
  const total = trainers.reduce((sum, { examples }) => sum + examples, 0);
  return Float64Array.from(trainers[0]?.delta ?? [], (_, i) =>
    trainers.reduce((sum, { delta, examples }) => sum + ((delta[i] ?? NaN) * examples) / total, 0),
  );
}

function relativeError(actual: ArrayLike<number>, exact: Float64Array): number {
  let [error, size] = [0, 0];
  for (const [i, value] of exact.entries()) {
    error += ((actual[i] ?? NaN) - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(error / size);
}

async function filesBelow(folder: string): Promise<{ file: string; bytes: Buffer }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => path.join(parentPath, name))
      .map(async (file) => ({ file, bytes: await readFile(file) })),
  );
}

const bytesOf = ({ delta }: NoisyTrainer): Buffer =>
  Buffer.from(delta.buffer, delta.byteOffset, delta.byteLength);

/** Stretches of an update, by which any copy of it would be found. */
function stretches(trainer: NoisyTrainer): Buffer[] {
  const { delta } = trainer;
  const bytes = bytesOf(trainer);
  return [0, 0.25, 0.5, 0.75].map((at) => {
    const from = 4 * Math.floor(at * delta.length);
    return bytes.subarray(from, from + 12);
  });
}

describe("a masked federation", () => {
  it("equals plain averaging to 2e-7, and no byte of the coordinator's disk or database is a single update", async () => {
    const ELEMENTS = 30_000;
    const { federation: running, sites } = await start(1);
    let letTrain: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (letTrain = resolve));
    const trainers = NAMES.map((name, i) => noisyTrainer(i, ELEMENTS, name === "c" ? () => gate : undefined));
    const runs = sites.map((site, i) => site.run(trainers[i] ?? noisyTrainer(i, ELEMENTS)));
    const assertNoUpdate = async (): Promise<void> => {
      for (const { file, bytes } of await filesBelow(path.join(running.folder, "coordinator"))) {
        for (const trainer of trainers) {
          for (const stretch of stretches(trainer))
            expect(bytes.includes(stretch), path.basename(file)).toBe(false);
        }
      }
    };
    const frames = async () =>
      (await filesBelow(path.join(running.folder, "coordinator", "blobs"))).filter(({ bytes }) =>
        isMaskedFrame(bytes),
      );

    // Two vectors are there, and the third is not: what a curious coordinator could hope for.
    const status = () => running.coordinator.federations.all()[0]?.status();
    while ((status()?.history.at(-1)?.contributions.length ?? 0) < 2) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const held = await frames();
    expect(held).toHaveLength(2);
    for (const { bytes } of held) expect(entropyPerByte(bytes)).toBeGreaterThan(7.99);
    // The same measure tells an update at once.
    for (const trainer of trainers) expect(entropyPerByte(bytesOf(trainer))).toBeLessThan(7.7);
    await assertNoUpdate();
    expect(status()?.sites.map(({ loss, examples }) => [loss, examples])).toEqual(
      NAMES.map(() => [null, null]),
    );

    letTrain();
    await Promise.all(runs.map(({ result }) => result));
    await assertNoUpdate();
    expect(await frames()).toHaveLength(0);
    const [site] = sites;
    if (site === undefined) throw new Error("there are three");
    const { values } = await readModel(site.home, "global");
    expect(relativeError(values, weightedMean(trainers))).toBeLessThan(2e-7);
    expect(status()?.history).toMatchObject([
      { totals: { examples: 64 + 57 + 50, clipped: 0, steps: 6 }, excluded: [] },
    ]);
    expect(status()?.history.at(0)?.loss).toBeCloseTo(1, 5);

    const left = await receiptsFile(site.home.receiptsFile).list();
    const kinds = left.filter(({ round }) => round === 1).map(({ kind, state }) => `${kind} ${state}`);
    for (const kind of ["keys", "shares", "vector", "signature", "release"]) {
      expect(kinds.filter((line) => line.startsWith(`mask`) && line.includes(kind))).toHaveLength(2);
    }
  });

  it("ends every round with the same sum, whichever step a site and the coordinator are stopped in", async () => {
    const STOPS: readonly AgentPhase[] = ["sharing", "sealing", "voting"];
    const { federation: running, sites } = await start(STOPS.length);
    const trainers = NAMES.map((_, i) => arithmeticTrainer((i + 1) * 1e-5));
    const [a, b, c] = sites as [TestSite, TestSite, TestSite];
    const others = [a, c].map((site, i) => site.run(trainers[2 * i] ?? arithmeticTrainer(0)));
    let restarting: Promise<void> = Promise.resolve();
    for (const [i, phase] of STOPS.entries()) {
      const run = b.run(trainers[1] ?? arithmeticTrainer(0), {
        onReport(report, stop) {
          if (report.phase !== phase || report.round !== i + 1 || stop.signal.aborted) return;
          stop.abort();
          // Every other time the coordinator goes as well.
          if (i % 2 === 0) restarting = running.restartCoordinator();
        },
      });
      await run.result.catch(() => undefined);
      await restarting;
    }
    const last = b.run(trainers[1] ?? arithmeticTrainer(0));
    const results = await Promise.all([...others, last].map(({ result }) => result));
    expect(new Set(results.map(({ checkpoint }) => checkpoint)).size).toBe(1);
    const { values } = await readModel(a.home, "global");
    // Each round adds the mean of 1, 2 and 3 hundred-thousandths, once.
    expect(values[500]).toBeCloseTo(0.5 + STOPS.length * 2e-5, 6);
    const history = running.coordinator.federations.all()[0]?.status().history ?? [];
    expect(history.map(({ round, attempt }) => `${round}.${attempt}`)).toEqual(
      STOPS.map((_, i) => `${i + 1}.1`),
    );
  }, 60_000);

  it("sends an update in one attempt only, whether its site helped to open the sum or not: it trains again, differently", async () => {
    const evaluation = { classes: ["normal", "pneumonia"] };
    const { federation: running, sites } = await start(1, { health: { evaluation } });
    const seeds = NAMES.map((): number[] => []);
    const scores = [countScores([0.2, 0.7, 0.9], [0, 0, 1])];
    const trainers = NAMES.map((_, i): Trainer => {
      const inner = arithmeticTrainer((i + 1) * 1e-5, 1000, ({ seed }) =>
        Promise.resolve(seeds[i]?.push(seed)),
      );
      const health = { moments: null, heldOut: null, labelled: null, scores };
      return { ...inner, train: async (...args) => ({ ...(await inner.train(...args)), health }) };
    });
    const losing = running.loseVectorsOnRelease(1);
    const runs = sites.map((site, i) => site.run(trainers[i] ?? arithmeticTrainer(0)));
    await Promise.all(runs.map(({ result }) => result));
    await losing;
    const history = running.coordinator.federations.all()[0]?.status().history ?? [];
    expect(history.map(({ attempt, checkpoint }) => [attempt, checkpoint !== null])).toEqual([
      [1, false],
      [2, true],
    ]);
    // Two of three releases open the sum: one site may be in it that has released nothing.
    for (const its of seeds) {
      expect(its).toHaveLength(2);
      expect(new Set(its).size).toBe(2);
    }
    // How images score does not change with the crops, so they do not say it again.
    expect(history[1]?.totals?.evaluation?.sites ?? 0).toBe(0);
  });

  it("is tried again at once when a site says that it lost its keys, and says who and why", async () => {
    const { federation: running, sites } = await start(1);
    let wasLost = false;
    const runs = sites.map((site, i) =>
      site.run(
        arithmeticTrainer((i + 1) * 1e-5, 1000, () => {
          if (i === 1 && !wasLost) {
            writeFileSync(path.join(site.home.federationFolder, "masking", "state.bin"), "damaged");
            wasLost = true;
          }
          return Promise.resolve();
        }),
      ),
    );
    await Promise.all(runs.map(({ result }) => result));
    const history = running.coordinator.federations.all()[0]?.status().history ?? [];
    expect(history.map(({ attempt, checkpoint }) => [attempt, checkpoint !== null])).toEqual([
      [1, false],
      [2, true],
    ]);
    expect(history[0]?.excluded).toContainEqual({ site: "b", reason: "secagg.spent" });
    expect(runs[1]?.reports.some(({ note }) => note?.startsWith("sits attempt 1 out") ?? false)).toBe(true);
  });
});
