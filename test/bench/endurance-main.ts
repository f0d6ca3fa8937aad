/** `endurance-main.ts STEPS EVERY THREADS` trains that long and prints one line of JSON, see endurance.ts. */
import { parsePlan } from "@consilium/shared/plan";
import { Random } from "../../site-agent/src/dataset/random.ts";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import { compilePretextStep } from "../../site-agent/src/training/pretext-step.ts";
import { memoryBytes } from "./memory-bytes.ts";
import { LEARNING_RATE } from "./workload.ts";

const BATCH = 4;
const CACHE_PX = 40;
const plan = parsePlan({
  federation: "bench",
  title: "Benchmark",
  rounds: 1,
  cachePx: CACHE_PX,
  model: { size: "nano", imagePx: 32, patchPx: 8 },
  training: { batchSize: BATCH, warmupRounds: 0 },
});
const [steps = 0, every = 1, threads = 1] = process.argv.slice(2).map(Number);

const { task, step } = await compilePretextStep(await createEngine({ threads }), plan);
await step.writeWeights(task.initialWeights(1));
const random = new Random(1);
const images = Uint8Array.from({ length: BATCH * CACHE_PX ** 2 }, () => random.below(256));
const marks = [];
for (let i = 1; i <= steps; i++) {
  const { loss } = await step.run(task.prepare(images, random), LEARNING_RATE);
  if (i % every === 0) marks.push({ step: i, rssBytes: memoryBytes("VmRSS"), loss });
}
await step.dispose();
console.log(JSON.stringify(marks));
