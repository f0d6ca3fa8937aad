/** Peak memory of the same training step, ours and PyTorch's, each in a process of its own. */
import { atMost, choose, type Benchmark, type Figure, type Target } from "./bench.ts";
import { LARGEST_LOSS_DIFFERENCE, WARM_UP_STEPS } from "./contestant.ts";
import { runFresh } from "./fresh.ts";
import { largestDifference } from "./statistics.ts";
import { HOW_TO_ADD_TORCH, TorchPeer, findTorch } from "./torch.ts";
import { MODEL_NAMES, workload } from "./workload.ts";

const MIB = 2 ** 20;

export const memory: Benchmark = {
  name: "memory",
  summary: "peak memory of one MAE training step, ours and PyTorch's, each in a fresh process",
  help: `--model ${MODEL_NAMES.join(",")}   which steps (default tiny,small)
  --threads 2               threads of both
  --batch N                 images in a batch
Peak resident memory after ${WARM_UP_STEPS} steps, in total and above what each runtime holds once it is loaded. On the CPU.`,
  run: async ({ models, threads, batch }, log) => {
    const results: Figure[] = [];
    const targets: Target[] = [];
    const notes: string[] = [];
    const python = await findTorch();
    if (python === null) notes.push(HOW_TO_ADD_TORCH);

    for (const model of choose("model", models, MODEL_NAMES, ["tiny", "small"])) {
      const work = workload(model, batch ?? undefined);
      log(`${work.title}: ours`);
      const ours = await runFresh({ model, batch, device: "cpu", threads, steps: WARM_UP_STEPS });
      results.push(...memoryFigures(`${work.title}: ours`, ours.peakRssBytes, ours.idleRssBytes));
      if (python === null) continue;

      log(`${work.title}: PyTorch`);
      // Fused AdamW: it needs the least, and trying both forms would count as memory.
      const torch = await TorchPeer.start(work, {
        ...{ python, threads, device: "cpu", dtype: "fp32", optimizer: "fused" },
      });
      const losses: number[] = [];
      for (let i = 0; i < WARM_UP_STEPS; i++) losses.push((await torch.step()).loss);
      const { peakRssBytes, hello } = torch;
      await torch.dispose();
      results.push(...memoryFigures(`${work.title}: PyTorch`, peakRssBytes, hello.idleRssBytes));
      const ownStep = ours.peakRssBytes - ours.idleRssBytes;
      const theirStep = peakRssBytes - hello.idleRssBytes;
      targets.push(
        atMost(
          `${work.title}: losses differ, relative`,
          largestDifference(ours.losses, losses),
          LARGEST_LOSS_DIFFERENCE,
        ),
        atMost(`${work.title}: peak, of PyTorch's`, ours.peakRssBytes / peakRssBytes, 1),
        atMost(`${work.title}: peak above the idle runtime, of PyTorch's`, ownStep / theirStep, 1),
      );
    }
    return { results, targets, notes };
  },
};

const memoryFigures = (label: string, peak: number, idle: number): Figure[] => [
  { label: `${label}, peak`, value: peak / MIB, unit: "MiB" },
  { label: `${label}, idle`, value: idle / MIB, unit: "MiB" },
  { label: `${label}, peak above idle`, value: (peak - idle) / MIB, unit: "MiB" },
];
