/**
 * `npx tsx test/fuzz/decode.ts [--files 10000] [--seed 1] [--threads 2] [--timeout-ms 4000]`: damages files of every kind
 * and decodes them. Exit code 1 if a file comes out with another size than it says, ends without a code of ours, or if
 * memory keeps growing. Threads that hang or die are replaced and counted: decoders may do that, the agent may not.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { ConsiliumError } from "@consilium/shared/errors";
import { DecodePool } from "../../site-agent/src/ingest/decode/decode-pool.ts";
import { generator, mutate, seedFiles } from "../../site-agent/src/ingest/testing/mutate.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    "timeout-ms": { type: "string", default: "4000" },
  },
});
const files = Number(values.files);
const seed = Number(values.seed);
const threads = Number(values.threads);
const BYTES = { uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4 } as const;
/** Memory may rise this much between the first fifth and the last. */
const MOST_GROWTH_MIB = 200;

const folder = await mkdtemp(path.join(tmpdir(), "consilium-fuzz-"));
const pool = new DecodePool({ threads, timeoutMs: Number(values["timeout-ms"]) });
const outcomes = new Map<string, number>();
const wrong: string[] = [];
const memoryMiB: number[] = [];
const seeds = await seedFiles();
let begun = 0;
let finished = 0;
let slowestMs = 0;

const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);

async function lane(_: unknown, lane: number): Promise<void> {
  while (begun < files) {
    const number = begun++;
    const source = seeds[number % seeds.length];
    if (source === undefined) return;
    // Of the file's number alone, so that a file can be made again by itself.
    const damaged = mutate(source.bytes, generator(seed * 1_000_003 + number));
    const file = path.join(folder, `${lane}.dcm`);
    await writeFile(file, damaged);
    const start = performance.now();
    try {
      const report = await pool.decode({ path: file, raw: null, expandPalette: true });
      const { rows, columns, samples, frames, dtype, bytes } = report;
      if (bytes !== rows * columns * samples * frames * BYTES[dtype])
        wrong.push(`${number} ${source.name}: size`);
      count("decoded");
    } catch (error) {
      if (!(error instanceof ConsiliumError) || !error.code.startsWith("dicom."))
        wrong.push(`${number} ${source.name}: ${error instanceof ConsiliumError ? error.code : "no code"}`);
      else count(error.detail?.includes("hung or died") === true ? "hung or died" : error.code);
    }
    slowestMs = Math.max(slowestMs, performance.now() - start);
    finished += 1;
    if (finished % Math.ceil(files / 20) === 0) {
      memoryMiB.push(Math.round(process.memoryUsage.rss() / 2 ** 20));
      console.error(`${finished} of ${files}, ${memoryMiB.at(-1) ?? 0} MiB`);
    }
  }
}

const start = performance.now();
try {
  await Promise.all(Array.from({ length: threads }, lane));
} finally {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
}
const fifth = Math.max(1, Math.floor(memoryMiB.length / 5));
const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
const growthMiB = median(memoryMiB.slice(-fifth)) - median(memoryMiB.slice(0, fifth));
console.log(
  JSON.stringify({
    files,
    seed,
    outcomes: Object.fromEntries([...outcomes].sort(([a], [b]) => (a < b ? -1 : 1))),
    wrong,
    slowestMs: Math.round(slowestMs),
    memoryMiB,
    growthMiB,
    seconds: Math.round((performance.now() - start) / 1000),
  }),
);
process.exitCode = wrong.length === 0 && growthMiB <= MOST_GROWTH_MIB ? 0 : 1;
