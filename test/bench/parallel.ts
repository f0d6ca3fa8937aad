/** The same threads as one device and as several: what cutting the batch and adding up gradients costs or brings. */
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import type { EngineOptions } from "../../site-agent/src/engine/types.ts";
import { startPretextReplicas } from "../../site-agent/src/training/pretext-replicas.ts";
import { compilePretextStep, type PretextStep } from "../../site-agent/src/training/pretext-step.ts";
import { atMost, choose, type Benchmark, type Figure, type Target } from "./bench.ts";
import { LARGEST_LOSS_DIFFERENCE, disagreement, timed, warmUp, type Contestant } from "./contestant.ts";
import { median, spreadPercent } from "./statistics.ts";
import { timeInTurns } from "./turns.ts";
import { LEARNING_RATE, MODEL_NAMES, workload, type Workload } from "./workload.ts";

const TURNS = 15;

async function contestant(
  name: string,
  { step }: PretextStep,
  { weights, batch }: Workload,
): Promise<Contestant> {
  await step.writeWeights(weights);
  return {
    name,
    step: async () => {
      const { result, ms } = await timed(() => step.run(batch, LEARNING_RATE));
      return { loss: result.loss, ms };
    },
    dispose: () => step.dispose(),
  };
}

const cpu = (threads: number): EngineOptions => ({ threads, device: "cpu" });

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** The plain step, the same as a replica of its own, and the threads cut into 2, 4, .. replicas. */
async function startAll(work: Workload, threads: number): Promise<readonly Contestant[]> {
  const { plan } = work;
  const plain = await compilePretextStep(await createEngine(cpu(threads)), plan);
  const all = [await contestant(`plain, ${counted(threads, "thread")}`, plain, work)];
  for (let replicas = 1; replicas <= threads; replicas *= 2) {
    const share = Math.floor(threads / replicas);
    const name = `${counted(replicas, "replica")}, ${counted(share, "thread")} each`;
    const engines = Array.from({ length: replicas }, () => cpu(share));
    all.push(await contestant(name, await startPretextReplicas(engines, plan), work));
  }
  return all;
}

export const parallel: Benchmark = {
  name: "parallel",
  summary: "one MAE training step on one device and on several, with the same threads of the CPU in all",
  help: `--model ${MODEL_NAMES.join(",")}   which steps (default nano,tiny)
  --threads 2               threads in all
  --batch N                 images in a batch
  --repeats N               timed turns (default ${TURNS})
Each replica computes an equal part of the batch. Losses are compared first.`,
  run: async ({ models, threads, batch, repeats }, log) => {
    const results: Figure[] = [];
    const targets: Target[] = [];
    const notes: string[] = [];
    for (const model of choose("model", models, MODEL_NAMES, ["nano", "tiny"])) {
      const work = workload(model, batch ?? undefined);
      const { title } = work;
      log(`${title}: compiling`);
      const all = await startAll(work, threads);
      try {
        const difference = disagreement(await warmUp(all));
        targets.push(atMost(`${title}: losses differ, relative`, difference, LARGEST_LOSS_DIFFERENCE));
        log(`${title}: taking turns`);
        const { times, tried, undisturbed } = await timeInTurns(all, repeats ?? TURNS, () =>
          Promise.resolve(),
        );
        const counting = times[0]?.length ?? 0;
        notes.push(
          `${title}: ${counting} of ${tried} turns${undisturbed ? ", undisturbed" : "; other programs kept the machine busy, so only ratios of minima mean something"}`,
        );
        all.forEach(({ name }, i) => {
          const own = times[i] ?? [];
          results.push(
            { label: `${title}: ${name}, fastest step`, value: Math.min(...own), unit: "ms" },
            { label: `${title}: ${name}, median step`, value: median(own), unit: "ms" },
            { label: `${title}: ${name}, spread`, value: spreadPercent(own), unit: "%" },
          );
        });
      } finally {
        for (const { dispose } of all) await dispose();
      }
    }
    return { results, targets, notes };
  },
};
