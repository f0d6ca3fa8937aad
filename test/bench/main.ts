/**
 * `npm run bench` lists the benchmarks, `npm run bench -- NAME` runs one, `--json` prints one object
 * {name, machine, results: [{label, value, unit}], targets: [{name, value, target, ok}], notes} and nothing else on
 * stdout; what is going on is said on stderr. A missed target is exit code 1, a mistake on the command line 2.
 */
import os from "node:os";
import { parseArgs } from "node:util";
import { UsageError, type Benchmark, type Findings, type Options } from "./bench.ts";
import { dp } from "./dp.ts";
import { emptyRound } from "./empty-round.ts";
import { endurance } from "./endurance.ts";
import { foldBenchmark } from "./fold.ts";
import { gpu } from "./gpu.ts";
import { graph } from "./graph.ts";
import { heads } from "./heads.ts";
import { ingest } from "./ingest.ts";
import { loader } from "./loader.ts";
import { memory } from "./memory.ts";
import { pacs } from "./pacs.ts";
import { parallel } from "./parallel.ts";
import { pretexts } from "./pretexts.ts";
import { profile } from "./profile.ts";
import { scale } from "./scale.ts";
import { secagg } from "./secagg.ts";
import { step } from "./step.ts";
import { upload } from "./upload.ts";

// As the programs have it (shared/src/launch.mjs); the runtime looks when its first session is made.
process.env["ORT_DISABLE_TELEMETRY"] = "1";

const BENCHMARKS: readonly Benchmark[] = [
  step,
  loader,
  ingest,
  pacs,
  memory,
  endurance,
  graph,
  parallel,
  gpu,
  profile,
  dp,
  secagg,
  foldBenchmark,
  upload,
  pretexts,
  heads,
  scale,
  emptyRound,
];

const machine = {
  cpu: os.cpus()[0]?.model.trim() ?? "unknown",
  cores: os.availableParallelism(),
  memoryGiB: Math.round(os.totalmem() / 2 ** 30),
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
  date: new Date().toISOString(),
  /** Over one minute, before anything was measured. */
  load: os.loadavg()[0] ?? NaN,
};

const round = (value: number): number => Number(value.toPrecision(4));

function table({ results, targets, notes }: Findings): string {
  const labels = [...results.map(({ label }) => label), ...targets.map(({ name }) => name)];
  const width = Math.max(0, ...labels.map((label) => label.length));
  const figures = results.map(
    ({ label, value, unit }) => `  ${label.padEnd(width)}  ${String(round(value)).padStart(10)} ${unit}`,
  );
  const verdicts = targets.map(
    ({ name, value, target, ok }) =>
      `  ${name.padEnd(width)}  ${String(round(value)).padStart(10)} (${target}) ${ok ? "met" : "MISSED"}`,
  );
  return [...figures, "targets", ...verdicts, ...notes.map((note) => `  ${note}`)].join("\n");
}

function readCommandLine(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        model: { type: "string" },
        devices: { type: "string" },
        threads: { type: "string" },
        batch: { type: "string" },
        repeats: { type: "string" },
        tasks: { type: "string" },
        epochs: { type: "string" },
        sites: { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : "unreadable options");
  }
}

function readOptions(values: ReturnType<typeof readCommandLine>["values"]): Options {
  const count = (name: "threads" | "batch" | "repeats" | "epochs" | "sites"): number | null => {
    const text = values[name];
    if (text === undefined) return null;
    if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`--${name} wants a whole number from 1, not ${text}`);
    return Number(text);
  };
  return {
    models: values.model?.split(",") ?? null,
    devices: values.devices?.split(",") ?? null,
    threads: count("threads") ?? 2,
    batch: count("batch"),
    repeats: count("repeats"),
    tasks: values.tasks?.split(",") ?? null,
    epochs: count("epochs"),
    sites: count("sites"),
  };
}

function overview(): string {
  const lines = BENCHMARKS.map(({ name, summary }) => `${name.padEnd(12)} ${summary}`);
  return [...lines, "", "npm run bench -- NAME [--json] [options]; NAME --help names the options"].join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = readCommandLine(args);
  const [chosen, ...more] = positionals;
  if (chosen === undefined) {
    console.log(overview());
    return 0;
  }
  const benchmark = BENCHMARKS.find(({ name }) => name === chosen);
  if (benchmark === undefined || more.length > 0) {
    throw new UsageError(`Name one of: ${BENCHMARKS.map(({ name }) => name).join(", ")}`);
  }
  const { name, summary, help, run } = benchmark;
  if (values.help) {
    console.log(`${name}: ${summary}\n  --json                    one JSON object on stdout\n  ${help}`);
    return 0;
  }
  // An option that a benchmark does not name would be ignored, and its figures taken for what they are not.
  const named = ["json", "help"];
  const foreign = Object.keys(values).find(
    (option) => !named.includes(option) && !help.includes(`--${option}`),
  );
  if (foreign !== undefined) throw new UsageError(`${name} has no --${foreign}; see ${name} --help`);
  const findings = await run(readOptions(values), (line) => {
    console.error(line);
  });
  if (values.json) for (const note of findings.notes) console.error(note);
  console.log(values.json ? JSON.stringify({ name, machine, ...findings }) : `${name}\n${table(findings)}`);
  return findings.targets.every(({ ok }) => ok) ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
