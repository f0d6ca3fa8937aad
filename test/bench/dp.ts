/** What it costs to clip each example's gradient and add noise: beside the plain step, and beside a loop over examples. */
import { SecureRandom } from "@consilium/shared/privacy/secure-random";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import { EXAMPLE_WEIGHT } from "../../site-agent/src/engine/program.ts";
import type { Engine, InputArrays, InputSpecs } from "../../site-agent/src/engine/types.ts";
import { compilePretextStep, type PretextStep } from "../../site-agent/src/training/pretext-step.ts";
import { partExamples } from "../../site-agent/src/training/private-batches.ts";
import { compilePrivateStep } from "../../site-agent/src/training/private-step.ts";
import { atMost, choose, type Benchmark, type Figure, type Target } from "./bench.ts";
import { LARGEST_LOSS_DIFFERENCE, disagreement, timed, type Contestant } from "./contestant.ts";
import { median } from "./statistics.ts";
import { timeInTurns } from "./turns.ts";
import { LEARNING_RATE, MODEL_NAMES, workload, type Workload } from "./workload.ts";

const TURNS = 9;
const DRAWS = 2000;

/** A batch of exactly the expected size. */
const termsOf = ({ batchSize }: Workload): PrivacyTerms => ({
  patients: 100 * batchSize,
  sampleRate: 0.01,
  expectedExamples: batchSize,
  clipL2Norm: 1,
  noiseMultiplier: 1,
  stepsPerRound: 100,
});

async function contestant(
  name: string,
  { step }: PretextStep,
  { weights }: Workload,
  batch: InputArrays<InputSpecs>,
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

async function startAll(engine: Engine, work: Workload): Promise<readonly Contestant[]> {
  const { plan, batch, batchSize } = work;
  const everyone = { ...batch, [EXAMPLE_WEIGHT]: new Float32Array(batchSize).fill(1) };
  return [
    await contestant("plain", await compilePretextStep(engine, plan), work, batch),
    await contestant("private", await compilePrivateStep(engine, plan, termsOf(work)), work, everyone),
    await contestant(
      "one example at a time, not even clipped",
      await compilePretextStep(engine, plan, { microBatches: batchSize }),
      work,
      batch,
    ),
  ];
}

/** Examples computed over examples drawn, since batches have random sizes and parts a fixed one. */
function filledUp(work: Workload): number {
  const terms = termsOf(work);
  const part = partExamples(work.plan, terms);
  const random = new SecureRandom();
  let drawn = 0;
  let computed = 0;
  for (let i = 0; i < DRAWS; i++) {
    let size = 0;
    for (let patient = 0; patient < terms.patients; patient++) {
      if (random.uniform() < terms.sampleRate) size++;
    }
    drawn += size;
    computed += Math.max(1, Math.ceil(size / part)) * part;
  }
  return computed / drawn;
}

function timeNoise(length: number): number {
  const random = new SecureRandom();
  const out = new Float32Array(length);
  const times = Array.from({ length: 10 }, () => {
    const start = performance.now();
    random.fillNormal(out, 1);
    return performance.now() - start;
  });
  return Math.min(...times);
}

export const dp: Benchmark = {
  name: "dp",
  summary: "one MAE training step with differential privacy, beside the plain one and a loop over examples",
  help: `--model ${MODEL_NAMES.join(",")}   which steps (default nano)
  --threads 2               threads
  --batch N                 images in a batch
  --repeats N               timed turns (default ${TURNS})
Losses of the first step are compared before anything is timed.`,
  run: async ({ models, threads, batch, repeats }, log) => {
    const results: Figure[] = [];
    const targets: Target[] = [];
    const notes: string[] = [];
    const engine = await createEngine({ threads, device: "cpu" });
    for (const model of choose("model", models, MODEL_NAMES, ["nano"])) {
      const work = workload(model, batch ?? undefined);
      const { title } = work;
      log(`${title}: compiling`);
      const all = await startAll(engine, work);
      try {
        const first: number[][] = [];
        for (const { step } of all) first.push([(await step()).loss]);
        targets.push(
          atMost(`${title}: losses differ, relative`, disagreement(first), LARGEST_LOSS_DIFFERENCE),
        );
        log(`${title}: taking turns`);
        const { times, tried, undisturbed } = await timeInTurns(all, repeats ?? TURNS, () =>
          Promise.resolve(),
        );
        const counting = times[0]?.length ?? 0;
        notes.push(
          `${title}: ${counting} of ${tried} turns${undisturbed ? ", undisturbed" : "; other programs kept the machine busy, so only ratios of minima mean something"}`,
        );
        const best = times.map((own) => Math.min(...own));
        const [plain = NaN, priv = NaN, loop = NaN] = best;
        all.forEach(({ name }, i) => {
          results.push(
            { label: `${title}: ${name}, fastest step`, value: best[i] ?? NaN, unit: "ms" },
            { label: `${title}: ${name}, median step`, value: median(times[i] ?? []), unit: "ms" },
          );
        });
        results.push(
          { label: `${title}: private / plain, fastest`, value: priv / plain, unit: "x" },
          { label: `${title}: loop / private, fastest`, value: loop / priv, unit: "x" },
          {
            label: `${title}: of the private step, noise`,
            value: timeNoise(work.weights.length),
            unit: "ms",
          },
          { label: `${title}: examples computed / drawn`, value: filledUp(work), unit: "x" },
        );
      } finally {
        for (const { dispose } of all) await dispose();
      }
    }
    return { results, targets, notes };
  },
};
