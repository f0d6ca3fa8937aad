/**
 * `npm run bench` lists the benchmarks, `npm run bench -- NAME` runs one, `--json` prints one object
 * {name, machine, results: [{label, value, unit}], targets: [{name, value, target, ok}]} and nothing else.
 * A missed target is exit code 1.
 */
import os from "node:os";
import type { Benchmark, Findings } from "./bench.ts";
import { step } from "./step.ts";

const BENCHMARKS: readonly Benchmark[] = [step];

const machine = {
  cpu: os.cpus()[0]?.model.trim() ?? "unknown",
  cores: os.availableParallelism(),
  memoryGiB: Math.round(os.totalmem() / 2 ** 30),
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
};

const round = (value: number): number => Number(value.toPrecision(4));

function table({ results, targets }: Findings): string {
  const width = Math.max(
    ...[...results.map(({ label }) => label), ...targets.map(({ name }) => name)].map((s) => s.length),
  );
  const figures = results.map(
    ({ label, value, unit }) => `  ${label.padEnd(width)}  ${String(round(value)).padStart(10)} ${unit}`,
  );
  const verdicts = targets.map(
    ({ name, value, target, ok }) =>
      `  ${name.padEnd(width)}  ${String(round(value)).padStart(10)} (${target}) ${ok ? "met" : "MISSED"}`,
  );
  return [...figures, "targets", ...verdicts].join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  const names = args.filter((argument) => !argument.startsWith("--"));
  if (names.length === 0) {
    for (const { name, summary } of BENCHMARKS) console.log(`${name.padEnd(12)} ${summary}`);
    return 0;
  }
  const chosen = names.map((name) => BENCHMARKS.find((benchmark) => benchmark.name === name));
  const [benchmark] = chosen;
  if (chosen.length > 1 || benchmark === undefined) {
    console.error(`Name one of: ${BENCHMARKS.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const findings = await benchmark.run((line) => {
    if (!json) console.error(line);
  });
  const { name } = benchmark;
  console.log(json ? JSON.stringify({ name, machine, ...findings }) : `${name}\n${table(findings)}`);
  return findings.targets.every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
