/**
 * What an encoder learns from each pretext task: pre-trained on the pooled hospitals of ../shared/data/pediatric-cxr, then
 * judged on their test set by a probe and, for some, by fine-tuning on 1 % of the labels, each against the same from scratch.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { USUAL_BATCH, type PretextName } from "@consilium/shared/pretext-schema";
import type { Estimate } from "../../site-agent/src/downstream/bootstrap.ts";
import { finetuneOptions } from "../../site-agent/src/downstream/finetune-defaults.ts";
import { finetuneInThread } from "../../site-agent/src/downstream/thread.ts";
import type { ClassificationResult, DownstreamMode } from "../../site-agent/src/downstream/types.ts";
import { ingestFolder } from "../../site-agent/src/ingest/ingest.ts";
import { pretrainAlone, type AloneResult } from "../../site-agent/src/training/pretrain-alone.ts";
import { createTrainer } from "../../site-agent/src/training/trainer.ts";
import { choose, type Benchmark, type Figure, type Target } from "./bench.ts";

const DATA = resolve(import.meta.dirname, "../../../shared/data/pediatric-cxr");
const HOSPITALS = ["hospital-a", "hospital-b", "hospital-c"];
const TASKS = ["mae", "simclr", "mocov3", "vicreg", "restoration"] as const satisfies readonly PretextName[];
const CACHE_PX = 72;
const EPOCHS = 10;
const SEEDS = 3;
/** Most images that a comparing task takes at once here: with few epochs, more steps do more than more negatives. */
const MOST_AT_ONCE = 64;

const planFor = (task: PretextName, epochs: number, batch: number | null): Plan =>
  parsePlan({
    federation: "bench",
    title: "Benchmark",
    rounds: epochs,
    cachePx: CACHE_PX,
    model: { size: "nano", imagePx: 64, patchPx: 8 },
    pretext: { task },
    training: {
      batchSize: batch ?? Math.min(USUAL_BATCH[task], MOST_AT_ONCE),
      warmupRounds: Math.min(1, epochs),
      optimizerState: "keep",
    },
  });

interface Caches {
  readonly train: string;
  readonly test: string;
}

async function fillCaches(folder: string, threads: number): Promise<Caches> {
  const pooled = join(folder, "pooled");
  await mkdir(pooled);
  for (const hospital of HOSPITALS) await symlink(join(DATA, hospital, "dicom"), join(pooled, hospital));
  const caches = { train: join(folder, "train"), test: join(folder, "test") };
  const common = { sizePx: CACHE_PX, secret: new Uint8Array(32).fill(1), threads };
  const labelsOf = (names: readonly string[]) => names.map((name) => join(DATA, name, "labels.csv"));
  await ingestFolder({ ...common, folder: pooled, cacheDir: caches.train, labels: labelsOf(HOSPITALS) });
  const test = join(DATA, "test", "dicom");
  await ingestFolder({ ...common, folder: test, cacheDir: caches.test, labels: labelsOf(["test"]) });
  return caches;
}

interface Judged {
  readonly results: readonly Figure[];
  readonly targets: readonly Target[];
}

interface Judging {
  readonly caches: Caches;
  readonly threads: number;
  readonly log: (line: string) => void;
}

/** Probe on all labels, fine-tuning on 1 % of them; the random encoder goes through the same. */
async function judge(
  plan: Plan,
  trained: AloneResult,
  mode: DownstreamMode,
  { caches, threads, log }: Judging,
): Promise<Judged> {
  const { task } = plan.pretext;
  const outcome = await finetuneInThread(
    {
      task: "classification",
      model: plan.model,
      trainDir: caches.train,
      testDir: caches.test,
      encoders: { scratch: true, own: { manifest: trained.manifest, values: trained.values }, global: null },
      options: {
        ...finetuneOptions("classification"),
        modes: [mode],
        seeds: SEEDS,
        labels: { fraction: 0.01 },
        negativeClass: "normal",
      },
      engine: { threads, device: "cpu" },
    },
    () => undefined,
    new AbortController().signal,
  );
  const { summary } = outcome.result as ClassificationResult;
  const label = `${task}, ${mode}, 1 % of labels`;
  const results = summary.flatMap(({ from, auroc }): Figure[] => [
    { label: `${label}, ${from}: AUROC`, value: auroc.value, unit: `(${interval(auroc)})` },
  ]);
  for (const { value, label: name, unit } of results) log(`${name} ${value.toFixed(3)} ${unit}`);
  const gain = summary.find(({ from }) => from === "own")?.aurocGain;
  if (gain?.low == null) return { results, targets: [] };
  log(`${label}: gain ${gain.value.toFixed(3)} (${interval(gain)})`);
  const target = {
    name: `${label}: least gain of AUROC over scratch (95 %)`,
    value: gain.low,
    target: "> 0",
    ok: gain.low > 0,
  };
  return {
    results: [...results, { label: `${label}: gain`, value: gain.value, unit: `(${interval(gain)})` }],
    targets: [target],
  };
}

const interval = ({ low, high }: Pick<Estimate, "low" | "high">): string =>
  low === null || high === null ? "no interval" : `${low.toFixed(3)} to ${high.toFixed(3)}`;

/** The tasks of which fine-tuning is asked as well. */
const FINETUNED: readonly PretextName[] = ["mae", "simclr"];

export const pretexts: Benchmark = {
  name: "pretexts",
  summary: "what each pretext task teaches an encoder of real radiographs, by probe and fine-tuning",
  help: `--tasks mae,simclr,...     of ${TASKS.join(", ")}; all unless given
  --epochs 10               over all hospitals' images, for each task
  --batch 64                images in a step
  --threads 2               of the CPU`,
  run: async ({ tasks, epochs, batch, threads }, log) => {
    if (!existsSync(DATA)) {
      return { results: [], targets: [], notes: ["left out: ../shared/data/pediatric-cxr is not here"] };
    }
    const folder = await mkdtemp(join(tmpdir(), "consilium-pretexts-"));
    const trainer = createTrainer();
    const judged: Judged[] = [];
    try {
      log("reading the images");
      const caches = await fillCaches(folder, availableParallelism());
      for (const task of choose("tasks", tasks, TASKS, TASKS)) {
        const plan = planFor(task, epochs ?? EPOCHS, batch);
        const startedAt = performance.now();
        const trained = await pretrainAlone(
          trainer,
          { plan, start: null, cacheDir: caches.train, seed: 1, engine: { threads, device: "cpu" } },
          ({ round, step, steps, loss, imagesPerSecond }) => {
            if (step !== steps) return;
            log(`${task}: epoch ${round}, loss ${loss.toFixed(4)}, ${imagesPerSecond.toFixed(0)} images/s`);
          },
          new AbortController().signal,
        );
        const seconds = (performance.now() - startedAt) / 1000;
        judged.push({
          results: [
            {
              label: `${task}: loss`,
              value: trained.losses.at(-1) ?? NaN,
              unit: `after ${plan.rounds} epochs`,
            },
            { label: `${task}: pre-training`, value: seconds, unit: "s" },
          ],
          targets: [],
        });
        const judging = { caches, threads, log };
        judged.push(await judge(plan, trained, "probe", judging));
        if (FINETUNED.includes(task)) judged.push(await judge(plan, trained, "finetune", judging));
      }
    } finally {
      await trainer.close();
      await rm(folder, { recursive: true, force: true });
    }
    return {
      results: judged.flatMap(({ results }) => results),
      targets: judged.flatMap(({ targets }) => targets),
      notes: [`intervals of 95 %: bootstrap by patient over the test set, ${SEEDS} draws of labels`],
    };
  },
};
