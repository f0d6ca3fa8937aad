/** Ten thousand steps in one process: its memory must not grow. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { atMost, type Benchmark } from "./bench.ts";

const MAIN = path.join(import.meta.dirname, "endurance-main.ts");
const STEPS = 10_000;
/** Until then caches and pools fill up. */
const SETTLED = 1_000;
const MIB = 2 ** 20;
/** Whichever is more: memory that other programs touch makes the figure of a small process uncertain. */
const MOST_GROWTH = { share: 0.02, mib: 10 };

const markSchema = z.object({ step: z.number(), rssBytes: z.number(), loss: z.number() });

export const endurance: Benchmark = {
  name: "endurance",
  summary: "10,000 MAE steps at nano size in one process: whether its memory grows",
  help: `--threads 2               threads
Images of 32 px, batches of 4, new ones in each step. Resident memory every ${SETTLED} steps, without forced collection.
Some four minutes on two quiet cores.`,
  run: async ({ threads }, log) => {
    log(`${STEPS} steps`);
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...["--import", "tsx", MAIN],
      ...[STEPS, SETTLED, threads].map(String),
    ]);
    const marks = z.array(markSchema).parse(JSON.parse(stdout));
    const first = marks[0]?.rssBytes ?? NaN;
    const growth = (marks.at(-1)?.rssBytes ?? NaN) - first;
    const limit = Math.max(MOST_GROWTH.share * first, MOST_GROWTH.mib * MIB);
    return {
      results: marks.flatMap(({ step, rssBytes, loss }) => [
        { label: `memory after ${step} steps`, value: rssBytes / MIB, unit: "MiB" },
        { label: `loss of step ${step}`, value: loss, unit: "" },
      ]),
      targets: [
        atMost(
          `memory gained from step ${SETTLED} to ${STEPS}`,
          growth / MIB,
          Math.round(limit / MIB),
          " MiB",
        ),
      ],
      notes: [],
    };
  },
};
