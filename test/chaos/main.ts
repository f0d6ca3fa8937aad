/**
 * `npm run chaos -- --seed N --minutes M` runs one federation after another, from seed N upwards, and breaks what can
 * break: processes are killed and stopped, links cut, slowed and swallowed, the cable of one pulled, disks filled and bits
 * flipped. Every federation must end as it would have in peace (check.ts). Exit code 1 if an invariant is broken, 2 for a
 * mistake on the command line.
 */
import { parseArgs } from "node:util";
import type { Plan } from "@consilium/shared/plan";
import { runEpisode, type Episode } from "./episode.ts";

const HELP = `npm run chaos -- [options]

  --seed N       the first seed (1); each federation takes the next one
  --minutes M    no federation is begun after so long (5)
  --secure KIND  masked, plain, or both in turns (both)
  --storm S      seconds of faults in each federation (40)
  --rounds N     rounds of each federation (12)
  --ci           the fixed seeds that CI runs, about two minutes
  --json         one JSON object on standard output; what happens is said on standard error
  --help

examples
  npm run chaos -- --seed 7 --minutes 30
  npm run chaos -- --seed 41 --minutes 1 --secure masked      # one seed again
`;

const CI: readonly { readonly seed: number; readonly secure: Plan["aggregation"]["secure"] }[] = [
  { seed: 1, secure: "masked" },
  { seed: 2, secure: "plain" },
];

function readCommandLine() {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      minutes: { type: "string", default: "5" },
      secure: { type: "string", default: "both" },
      storm: { type: "string", default: "40" },
      rounds: { type: "string", default: "12" },
      ci: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const number = (name: "seed" | "minutes" | "storm" | "rounds", least: number): number => {
    const value = Number(values[name]);
    if (!(value >= least)) throw new Error(`--${name} wants a number from ${least}`);
    return value;
  };
  if (!["masked", "plain", "both"].includes(values.secure))
    throw new Error("--secure knows masked, plain and both");
  return {
    seed: number("seed", 0),
    minutes: number("minutes", 0),
    stormMs: 1000 * number("storm", 0),
    rounds: number("rounds", 1),
    secure: values.secure,
    ci: values.ci,
    json: values.json,
    help: values.help,
  };
}

function report({ seed, secure, kills, faults, attempts, seconds, skipped, broken }: Episode): string {
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const lines = [
    `seed ${seed} ${secure}: ${total} faults, ${kills} kills, ${attempts} attempts, ${seconds} s: ${broken.length === 0 ? "every invariant holds" : "BROKEN"}`,
    ...skipped.map((text) => `  left out: ${text}`),
    ...broken.map((text) => `  BROKEN: ${text}`),
  ];
  return lines.join("\n");
}

async function main(): Promise<number> {
  const options = readCommandLine();
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const log = (line: string): void => {
    console.error(line);
  };
  const { stormMs, rounds } = options.ci ? { stormMs: 20_000, rounds: 4 } : options;
  const endsMs = performance.now() + options.minutes * 60_000;
  const episodes: Episode[] = [];
  const run = async (seed: number, secure: Plan["aggregation"]["secure"]): Promise<void> => {
    log(`seed ${seed}, ${secure}`);
    const episode = await runEpisode({ seed, secure, stormMs, rounds, log });
    episodes.push(episode);
    log(report(episode));
  };
  if (options.ci) for (const { seed, secure } of CI) await run(seed, secure);
  else {
    for (let seed = options.seed; episodes.length === 0 || performance.now() < endsMs; seed++) {
      const inTurns = seed % 2 === 0 ? "plain" : "masked";
      await run(seed, options.secure === "both" ? inTurns : (options.secure as "masked" | "plain"));
    }
  }
  const broken = episodes.filter((episode) => episode.broken.length > 0);
  const kills = episodes.reduce((sum, episode) => sum + episode.kills, 0);
  if (options.json) console.log(JSON.stringify({ episodes, kills, broken: broken.map(({ seed }) => seed) }));
  else
    console.log(`${episodes.length} federations, ${kills} kills, ${broken.length} with a broken invariant`);
  return broken.length === 0 ? 0 : 1;
}

// What is to be taken down at the end is taken down.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
