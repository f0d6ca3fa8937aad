/** How many images a second the loading thread makes ready, against what a training step takes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePlan, type PlanInput } from "@consilium/shared/plan";
import { CacheWriter } from "../../site-agent/src/dataset/cache-writer.ts";
import { Random } from "../../site-agent/src/dataset/random.ts";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import { compilePretextStep } from "../../site-agent/src/training/pretext-step.ts";
import { createLoader } from "../../site-agent/src/training/loader.ts";
import { atLeast, type Benchmark, type Figure } from "./bench.ts";
import { median } from "./statistics.ts";

const IMAGES = 512;
const EPOCHS = 8;
const BATCH = 32;
const STEPS = 12;
const LEAST_RATIO = 3;

const planOf = (cachePx: number, model: PlanInput["model"]) =>
  parsePlan({
    federation: "bench",
    title: "Benchmark",
    rounds: 1,
    cachePx,
    model,
    pretext: { task: "mae" },
    training: { batchSize: BATCH, localEpochs: EPOCHS, warmupRounds: 0 },
  });

/** Noise: compresses and caches no better than an image would. */
async function writeCache(folder: string, sizePx: number): Promise<void> {
  const writer = await CacheWriter.open(folder, sizePx);
  const random = new Random(1);
  for (let i = 0; i < IMAGES; i++) {
    const name = i.toString(16).padStart(32, "0");
    const image = Uint8Array.from({ length: sizePx ** 2 }, () => random.below(256));
    const origin = { view: null, bodyPart: null, rows: sizePx, columns: sizePx };
    await writer.append({ image: name, patient: name, modality: "DX", ...origin }, image);
  }
  await writer.commit();
  await writer.close();
}

/** Images a second out of the loading thread, which nobody holds up. */
async function loadingRate(plan: ReturnType<typeof planOf>, cacheDir: string): Promise<number> {
  const loader = createLoader();
  const batches = loader.load({ plan, cacheDir, round: 1, seed: 1 });
  await batches.next(); // pays for the thread's start
  const startedAt = performance.now();
  let images = 0;
  while ((await batches.next()).done !== true) images += BATCH;
  const seconds = (performance.now() - startedAt) / 1000;
  await loader.close();
  return images / seconds;
}

async function trainingRate(plan: ReturnType<typeof planOf>, threads: number): Promise<number> {
  const engine = await createEngine({ threads, device: "cpu" });
  const { task, step } = await compilePretextStep(engine, plan);
  await step.writeWeights(task.initialWeights(1));
  const batch = task.prepare(new Uint8Array(BATCH * plan.cachePx ** 2), new Random(1));
  const times: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const startedAt = performance.now();
    await step.run(batch, 1e-4);
    times.push(performance.now() - startedAt);
  }
  await step.dispose();
  return (BATCH * 1000) / median(times);
}

export const loader: Benchmark = {
  name: "loader",
  summary: "images a second from the loading thread, against what a nano step takes",
  help: "--threads 2               threads of the training step",
  run: async ({ threads }, log) => {
    const folder = await mkdtemp(join(tmpdir(), "consilium-bench-"));
    try {
      const nano = planOf(64, { size: "nano", imagePx: 64, patchPx: 8 });
      const large = planOf(256, { size: "small", imagePx: 224, patchPx: 16 });
      log("writing two caches");
      await writeCache(join(folder, "64"), 64);
      await writeCache(join(folder, "256"), 256);
      log("loading");
      const loaded = await loadingRate(nano, join(folder, "64"));
      const loadedLarge = await loadingRate(large, join(folder, "256"));
      log("training");
      const trained = await trainingRate(nano, threads);
      const results: Figure[] = [
        { label: "loaded, 64 px", value: loaded, unit: "images/s" },
        { label: "trained, nano at 64 px", value: trained, unit: "images/s" },
        { label: "loaded, 224 px crops of 256 px", value: loadedLarge, unit: "images/s" },
      ];
      return {
        results,
        targets: [atLeast("loaded for each trained", loaded / trained, LEAST_RATIO)],
        notes: [],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
