/**
 * Few labels, one test set, several encoders: what is the federated encoder worth? All encoders get the same network, labels,
 * schedule and seeds; only the encoder's initial weights differ. Each graph is compiled once.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { ImageCache } from "../dataset/types.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { Engine, Inference, TrainStep } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { assertOfImages, vitConfig, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import {
  classifierInference,
  classifierTrainStep,
  featureInference,
  initialHead,
  type ClassifierInputs,
  type ViewInputs,
} from "./classifier.ts";
import { classIndices, drawLabels, formCohort, setSize, type Cohort } from "./cohort.ts";
import { selectParameters } from "./encoder.ts";
import { evaluateRun, summarise, type Run } from "./evaluation.ts";
import { balancedWeights, fit, fitSteps } from "./fit.ts";
import { predictImages } from "./predict.ts";
import { probe } from "./probe.ts";
import type {
  DownstreamMode,
  EncoderOrigin,
  EncoderSources,
  FinetuneOptions,
  FinetuneProgress,
  FinetuneResult,
  LabelledCache,
} from "./types.ts";

export interface FinetuneTask {
  readonly engine: Engine;
  readonly model: Plan["model"];
  readonly train: LabelledCache<ImageCache>;
  /** Null splits the training cache by patient. */
  readonly test: LabelledCache<ImageCache> | null;
  readonly encoders: EncoderSources;
  readonly options: FinetuneOptions;
}

/** Images at once where nothing is trained. */
const INFERENCE_BATCH = 32;
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/**
 * @param onProgress called before each run and after each step; awaited, so it may let messages in
 * @param signal stops at a step's border with the signal's reason
 * @throws labels.unmatched, labels.too-few, config.invalid, manifest.mismatch, model.of-volumes,
 * training.diverged, cache.corrupt, engine.*
 */
export async function finetune(
  task: FinetuneTask,
  onProgress: (progress: FinetuneProgress) => void | Promise<void>,
  signal: AbortSignal,
): Promise<FinetuneResult> {
  const { encoders, options } = task;
  const config = vitConfig(task.model);
  assertOfImages(config);
  const cohort = formCohort(task.train, task.test, options);
  const encoderWeights = loadEncoders(config, encoders);
  const networks = await compile(task, config, cohort);
  try {
    const runs: Run[] = [];
    const total = encoderWeights.length * options.modes.length * options.seeds;
    for (const { from, weightsFor } of encoderWeights) {
      const memory: FeatureMemory = new Map();
      for (const mode of options.modes) {
        for (let seed = 1; seed <= options.seeds; seed++) {
          const report = async (step: number, steps: number, loss: number | null): Promise<void> => {
            signal.throwIfAborted();
            await onProgress({ run: runs.length + 1, runs: total, from, mode, seed, step, steps, loss });
            signal.throwIfAborted();
          };
          runs.push(
            await runOnce(
              { ...networks, config, cohort, task, memory, report },
              from,
              mode,
              seed,
              weightsFor(seed),
            ),
          );
        }
      }
    }
    const test = { images: cohort.test, classes: cohort.classes };
    const evaluated = runs.map((run) => evaluateRun(run, test));
    return {
      classes: cohort.classes,
      labels: setSize(drawLabels(cohort, options.labels, 1)),
      test: setSize(cohort.test),
      testSource: cohort.testSource,
      rows: evaluated.map(({ row }) => row),
      summary: summarise(runs, test),
      details: evaluated.map(({ detail }) => detail),
    };
  } finally {
    await networks.trainStep?.dispose();
    await networks.classifier?.dispose();
    await networks.encoder?.dispose();
  }
}

interface NamedEncoder {
  readonly from: EncoderOrigin;
  readonly weightsFor: (seed: number) => Float32Array;
}

/** @throws manifest.mismatch if a checkpoint holds another encoder, config.invalid if there is none at all */
function loadEncoders(config: VitConfig, { scratch, own, global }: EncoderSources): NamedEncoder[] {
  const parameters = vitParameters(config);
  const named: NamedEncoder[] = [];
  if (scratch) named.push({ from: "scratch", weightsFor: (seed) => initialWeights(parameters, seed) });
  for (const [from, checkpoint] of [
    ["own", own],
    ["global", global],
  ] as const) {
    if (checkpoint === null) continue;
    const weights = selectParameters(parameters, checkpoint);
    named.push({ from, weightsFor: () => weights });
  }
  if (named.length === 0) {
    throw new ConsiliumError("config.invalid", { detail: "(no encoder to start from)", culprits: ["from"] });
  }
  return named;
}

interface Networks {
  readonly trainStep: TrainStep<ClassifierInputs> | null;
  readonly classifier: Inference<ViewInputs> | null;
  readonly encoder: Inference<ViewInputs> | null;
}

/** Only what the modes need. */
async function compile(
  { engine, train, test, options }: FinetuneTask,
  config: VitConfig,
  { classes }: Cohort,
): Promise<Networks> {
  const { settings, modes } = options;
  const cachePx = train.cache.sizePx;
  if (test !== null && test.cache.sizePx !== cachePx) {
    throw new ConsiliumError("config.invalid", {
      detail: `(the training images have ${cachePx} px, the test images ${test.cache.sizePx} px)`,
      culprits: ["test"],
    });
  }
  const inference = { config, classes: classes.length, cachePx, batchSize: INFERENCE_BATCH };
  const optimizer = { ...ADAM, weightDecay: settings.weightDecay, clipGlobalNorm: settings.clipGlobalNorm };
  const whole = modes.includes("finetune");
  return {
    trainStep: whole
      ? await engine.compileTrainStep(
          classifierTrainStep(
            { ...inference, batchSize: settings.batchSize },
            settings.layerDecay,
            optimizer,
          ),
        )
      : null,
    classifier: whole ? await engine.compileInference(classifierInference(inference)) : null,
    encoder: modes.includes("probe") ? await engine.compileInference(featureInference(inference)) : null,
  };
}

/** Features of the test images under weights that do not change from seed to seed. */
type FeatureMemory = Map<Float32Array, Float32Array>;

interface Bench extends Networks {
  readonly config: VitConfig;
  readonly cohort: Cohort;
  readonly task: FinetuneTask;
  readonly memory: FeatureMemory;
  readonly report: (step: number, steps: number, loss: number | null) => Promise<void>;
}

async function runOnce(
  bench: Bench,
  from: EncoderOrigin,
  mode: DownstreamMode,
  seed: number,
  encoderWeights: Float32Array,
): Promise<Run> {
  const images = drawLabels(bench.cohort, bench.task.options.labels, seed);
  const { probabilities, losses } =
    mode === "probe"
      ? { probabilities: await runProbe(bench, images, encoderWeights), losses: [] }
      : await runFinetuning(bench, images, encoderWeights, seed);
  if (!probabilities.every(Number.isFinite)) throw new ConsiliumError("training.diverged");
  return { from, mode, seed, labels: setSize(images), losses, probabilities };
}

async function runProbe(
  { encoder, config, cohort, task, memory, report }: Bench,
  images: readonly LabelledImage[],
  encoderWeights: Float32Array,
): Promise<Float64Array> {
  if (encoder === null) throw new Error("the encoder was not compiled");
  await report(0, 1, null);
  await encoder.writeWeights(encoderWeights);
  const predictor = { inference: encoder, output: "features", config, batchSize: INFERENCE_BATCH };
  const { cache } = task.train;
  const testFeatures =
    memory.get(encoderWeights) ?? (await predictImages(predictor, task.test?.cache ?? cache, cohort.test));
  memory.set(encoderWeights, testFeatures);
  const trainClasses = classIndices(images, cohort.classes);
  const { balanceClasses, probePenalty } = task.options.settings;
  const probabilities = probe({
    trainFeatures: await predictImages(predictor, cache, images),
    trainClasses,
    testFeatures,
    classes: cohort.classes.length,
    weights: balanceClasses ? balancedWeights(trainClasses) : new Float32Array(images.length).fill(1),
    l2: probePenalty / images.length,
  });
  await report(1, 1, null);
  return probabilities;
}

async function runFinetuning(
  { trainStep, classifier, config, cohort, task, report }: Bench,
  images: readonly LabelledImage[],
  encoderWeights: Float32Array,
  seed: number,
): Promise<{ probabilities: Float32Array; losses: number[] }> {
  if (trainStep === null || classifier === null) throw new Error("the classifier was not compiled");
  const { classes } = cohort;
  const { settings } = task.options;
  const steps = fitSteps(images.length, settings);
  await report(0, steps, null);
  await trainStep.writeWeights(join(encoderWeights, initialHead(config, classes.length, seed)));
  await trainStep.writeOptimizerState(null);
  const losses = await fit(
    { step: trainStep, config, cache: task.train.cache, images, classes, settings, seed },
    (step, loss) => report(step, steps, loss),
  );
  await classifier.writeWeights(await trainStep.readWeights());
  const predictor = { inference: classifier, output: "probabilities", config, batchSize: INFERENCE_BATCH };
  const testCache = task.test?.cache ?? task.train.cache;
  return { probabilities: await predictImages(predictor, testCache, cohort.test), losses };
}

function join(encoder: Float32Array, head: Float32Array): Float32Array {
  const all = new Float32Array(encoder.length + head.length);
  all.set(encoder);
  all.set(head, encoder.length);
  return all;
}
