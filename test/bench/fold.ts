/**
 * How fast updates become the next model: each strategy's arithmetic on updates that lie in memory, and whole folds from
 * sealed updates on disk to a checkpoint on disk, the coordinator's own functions. Seconds are processor time of all threads.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { encodeCheckpoint, encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity } from "@consilium/shared/crypto/identity";
import { federationIdSchema, siteIdSchema, type Attempt, type Round } from "@consilium/shared/ids";
import { foldMasked } from "@consilium/shared/secagg/coordinator/sum";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import type { StrategyPlan } from "@consilium/shared/strategy-schema";
import type { Slice } from "../../coordinator/src/aggregation/checked-values.ts";
import { fold } from "../../coordinator/src/aggregation/fold.ts";
import { strategyFor } from "../../coordinator/src/aggregation/strategy.ts";
import type { UpdateSet } from "../../coordinator/src/aggregation/update-set.ts";
import { openFileBlobs } from "../../coordinator/src/blobs/fs.ts";
import { UsageError, type Benchmark, type Figure } from "./bench.ts";
import { coordinatorRound } from "./secagg-coordinator.ts";
import { median } from "./statistics.ts";

const PARAMETERS = 4_000_000;
const SITES = 10;
/** Krum with two that may send anything wants seven. */
const FEWEST_SITES = 7;
const REPEATS = 5;
/** As updates come out of their envelopes. */
const SLICE = 2 ** 18;
const GIGA = 1e9;

const STRATEGIES: readonly StrategyPlan[] = [
  { name: "fedavg" },
  { name: "median" },
  { name: "trimmed-mean", trim: 0.2 },
  { name: "krum", byzantine: 2 },
  { name: "multi-krum", byzantine: 2 },
];

const random = (length: number) => new Uint8Array(randomBytes(length));

type Parts = ReadonlyMap<string, () => unknown>;

/** The parts turn by turn, so that what else the machine does falls on all of them; medians, in seconds, after a turn to warm up. */
async function inTurns(repeats: number, parts: Parts): Promise<ReadonlyMap<string, number>> {
  const taken = new Map<string, number[]>();
  for (let turn = 0; turn <= repeats; turn++) {
    for (const [name, work] of parts) {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      if (turn > 0) taken.set(name, [...(taken.get(name) ?? []), (user + system) / 1e6]);
    }
  }
  return new Map([...taken].map(([name, seconds]) => [name, median(seconds)]));
}

const updateOf = (site: number): Float32Array =>
  Float32Array.from({ length: PARAMETERS }, (_, i) => 0.01 * Math.sin((site + 1) * i));

const inMemory = (updates: readonly Float32Array[]): UpdateSet => ({
  length: PARAMETERS,
  examples: updates.map((_, i) => 100 + i),
  read: (i) => slices(updates[i] ?? new Float32Array(0)),
});

async function* slices(values: Float32Array): AsyncGenerator<Slice, void, undefined> {
  for (let offset = 0; offset < values.length; offset += SLICE) {
    yield await Promise.resolve({ offset, values: values.subarray(offset, offset + SLICE) });
  }
}

/** The arithmetic of each strategy and of a masked sum, beside a copy and the plainest sum. */
function arithmetic(updates: readonly Float32Array[]): Parts {
  const copy = new Float32Array(PARAMETERS);
  const sum = new Float64Array(PARAMETERS);
  const layout = vectorLayoutSchema.parse({
    sites: updates.length,
    examplesCap: 1000,
    tensors: [{ name: "weight", length: PARAMETERS, bound: 0.05 }],
  });
  const set = inMemory(updates);
  const masked = new Uint8Array(4 * PARAMETERS);
  return new Map<string, () => unknown>([
    [
      COPY,
      () => {
        for (const update of updates) copy.set(update);
      },
    ],
    [
      SUM,
      () => {
        for (const update of updates) {
          for (let i = 0; i < update.length; i++) sum[i] = (sum[i] ?? NaN) + (update[i] ?? NaN);
        }
      },
    ],
    ...STRATEGIES.map((plan): [string, () => unknown] => [plan.name, () => strategyFor(plan).combine(set)]),
    [
      "masked sum",
      () => {
        for (const { buffer } of updates) {
          for (let offset = 0; offset < masked.length; offset += 4 * SLICE) {
            const length = Math.min(4 * SLICE, masked.length - offset);
            foldMasked(layout, masked, { offset, bytes: new Uint8Array(buffer, offset, length) });
          }
        }
      },
    ],
  ]);
}

const COPY = "memory copy";
const SUM = "plain sum";

/** Folds from disk to disk. */
async function wholeFolds(folder: string, updates: readonly Float32Array[]): Promise<Parts> {
  const blobs = await openFileBlobs(path.join(folder, "blobs"));
  const reader = createIdentity(random);
  const manifest = { tensors: [{ name: "weight", shape: [PARAMETERS], dtype: "float32" as const }] };
  const place = {
    federation: federationIdSchema.parse("bench"),
    round: 1 as Round,
    attempt: 1 as Attempt,
  };
  const base = await blobs.write([encodeCheckpoint({ manifest, values: new Float32Array(PARAMETERS) })]);
  const contributions = [];
  for (const [i, values] of updates.entries()) {
    const site = siteIdSchema.parse(`site-${i}`);
    const context = { kind: "update", ...place, site } as const;
    const sealed = seal(encodeUpdate(manifest, values), { reader: reader.public, context, random });
    const { sha256 } = await blobs.write([sealed]);
    contributions.push({ site, examples: 100 + i, sealedSha256: sha256 });
  }
  const job = { ...place, base: base.sha256, serverState: null, contributions };
  return new Map(
    STRATEGIES.map((strategy) => [strategy.name, () => fold({ ...job, strategy }, blobs, reader)]),
  );
}

export const foldBenchmark: Benchmark = {
  name: "fold",
  summary:
    "updates into the next model by each strategy and as a masked sum, beside a memory copy and a plain sum",
  help: `--sites N                 updates (default ${SITES}, ${FEWEST_SITES} or more)
  --repeats N               measured turns, after one to warm up (default ${REPEATS})
Of ${PARAMETERS / 1e6} M parameters each; takes ${Math.round((4 * PARAMETERS * 2 * SITES) / 1e6)} MB of the temporary folder for ${SITES} sites.`,
  async run(options, log) {
    const sites = options.sites ?? SITES;
    if (sites < FEWEST_SITES) throw new UsageError(`--sites wants ${FEWEST_SITES} or more`);
    const repeats = options.repeats ?? REPEATS;
    const updates = Array.from({ length: sites }, (_, site) => updateOf(site));
    const gigabytes = (4 * PARAMETERS * sites) / GIGA;
    log(`${sites} updates of ${PARAMETERS / 1e6} M in memory`);
    const bare = await inTurns(repeats, arithmetic(updates));
    const secondsOf = (name: string): number => bare.get(name) ?? NaN;
    const results: Figure[] = [];
    for (const [name, seconds] of bare) {
      results.push({ label: `in memory: ${name}`, value: gigabytes / seconds, unit: "GB/s" });
      if (name === COPY) continue;
      results.push({
        label: `in memory: ${name}, of a copy's rate`,
        value: (100 * secondsOf(COPY)) / seconds,
        unit: "%",
      });
      if (name === SUM) continue;
      results.push({
        label: `in memory: ${name}, of the plain sum's rate`,
        value: (100 * secondsOf(SUM)) / seconds,
        unit: "%",
      });
    }
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-bench-fold-"));
    try {
      log("sealed updates on disk");
      const whole = await inTurns(repeats, await wholeFolds(folder, updates));
      const masked: number[] = [];
      for (let turn = 0; turn < Math.min(3, repeats); turn++) {
        masked.push((await coordinatorRound(PARAMETERS, { sites, lost: 0 }, log)).restarted.core);
      }
      for (const [name, seconds] of [
        ...whole,
        ["masked, with a mask of each site", median(masked)] as const,
      ]) {
        results.push(
          { label: `from disk to disk: ${name}`, value: gigabytes / seconds, unit: "GB/s" },
          {
            label: `from disk to disk: ${name}, of the plain sum's rate`,
            value: (100 * secondsOf(SUM)) / seconds,
            unit: "%",
          },
        );
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return {
      results,
      targets: [],
      notes: [
        "GB are those of the float32 updates that come in; seconds are processor time.",
        "From disk to disk: opened (AES-GCM), checked, folded, and the next checkpoint written; Krum reads all updates twice.",
      ],
    };
  },
};
