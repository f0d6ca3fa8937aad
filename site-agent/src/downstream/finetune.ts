/**
 * Few labels, one test set, several encoders: what is the federated encoder worth? All encoders get the same network, labels,
 * schedule and seeds; only the encoder's initial weights differ. Each graph is compiled once.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { balancedWeights } from "../dataset/taught-labels.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { Engine, Inference, TrainStep } from "../engine/types.ts";
import { keepByPatient } from "../dataset/splits.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { chooseCases } from "./cases.ts";
import { classBatches } from "./class-batches.ts";
import {
  classifierInference,
  classifierParameters,
  classifierTrainStep,
  featureInference,
  initialClassifierHead,
  type ClassifierInputs,
} from "./classifier.ts";
import { classIndices, drawLabels, formCohort, setSize, type Cohort } from "./cohort.ts";
import { choiceOf } from "./comparison.ts";
import { encoderDifferences } from "./differences.ts";
import { loadEncoders } from "./encoder.ts";
import { evaluateRun, summarise, type Run } from "./evaluation.ts";
import { featureMaps } from "./feature-map.ts";
import { fit, fitSteps } from "./fit.ts";
import { isKept } from "./kept.ts";
import { mayFlip } from "./label-kind.ts";
import { joinWeights } from "./layers.ts";
import { predictImages } from "./predict.ts";
import { probe } from "./probe.ts";
import { releasedWeights, runsOf } from "./released.ts";
import { againstOthers, attributions, saliencyMap } from "./saliency.ts";
import type {
  ClassificationResult,
  DownstreamMode,
  EncoderOrigin,
  EncoderSources,
  Exemplar,
  FinetuneOptions,
  FinetuneOutcome,
  FinetuneProgress,
  LabelledCache,
} from "./types.ts";
import { assertFits, inferenceBatch, sliceStepOf, type ViewInputs } from "./views.ts";

export interface FinetuneTask {
  readonly engine: Engine;
  readonly model: Plan["model"];
  /** The grid of volumes, from a plan for volumes. */
  readonly volume?: Plan["volume"];
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
 * @throws labels.unmatched, labels.too-few, config.invalid, manifest.mismatch, training.diverged, cache.corrupt,
 * cache.wrong-size, engine.*
 */
export async function finetune(
  task: FinetuneTask,
  onProgress: (progress: FinetuneProgress) => void | Promise<void>,
  signal: AbortSignal,
): Promise<FinetuneOutcome & { readonly result: ClassificationResult }> {
  const { encoders, options } = task;
  const config = vitConfig(task.model);
  assertFits(config, task.train.cache, task.test?.cache ?? null);
  const cohort = formCohort(task.train, task.test, options);
  const encoderWeights = loadEncoders(config, encoders);
  const networks = await compile(task, config, cohort);
  try {
    const runs: Run[] = [];
    let looked: { bench: Bench; run: Run; weights: Float32Array | null } | null = null;
    const total = encoderWeights
      .flatMap(({ from }) => options.modes.map((mode) => runsOf(from, mode, options)))
      .reduce((sum, runs) => sum + runs, 0);
    for (const { from, weightsFor } of encoderWeights) {
      const memory: FeatureMemory = new Map();
      for (const mode of options.modes) {
        for (let seed = 1; seed <= runsOf(from, mode, options); seed++) {
          const report = async (step: number, steps: number, loss: number | null): Promise<void> => {
            signal.throwIfAborted();
            await onProgress({ run: runs.length + 1, runs: total, from, mode, seed, step, steps, loss });
            signal.throwIfAborted();
          };
          const bench = { ...networks, config, cohort, task, memory, report };
          const { run, weights } = await runOnce(bench, from, mode, seed, weightsFor(seed));
          runs.push(run);
          if (seed === 1 && isKept(options, run)) looked = { bench, run, weights };
        }
      }
    }
    const exemplar = looked === null ? null : await exemplify(looked.bench, looked.run, looked.weights);
    const test = { images: cohort.test, classes: cohort.classes };
    const evaluated = runs.map((run) => evaluateRun(run, test));
    const result: ClassificationResult = {
      task: "classification",
      classes: cohort.classes,
      labels: setSize(drawLabels(cohort, options.labels, 1)),
      test: setSize(cohort.test),
      testSource: cohort.testSource,
      rows: evaluated.map(({ row }) => row),
      summary: summarise(runs, test),
      differences: encoderDifferences(runs, test),
      details: evaluated.map(({ detail }) => detail),
    };
    const groups = cohort.test.map(({ label }) => label);
    const maps = options.report
      ? await featureMaps({ ...task, config, encoders: encoderWeights, images: cohort.test, groups })
      : [];
    return { result, exemplar, maps };
  } finally {
    await networks.trainStep?.dispose();
    await networks.classifier?.dispose();
    await networks.encoder?.dispose();
  }
}

interface Networks {
  readonly trainStep: TrainStep<ClassifierInputs> | null;
  readonly classifier: Inference<ViewInputs> | null;
  readonly encoder: Inference<ViewInputs> | null;
}

/** Only what the modes need. */
async function compile(
  { engine, train, options }: FinetuneTask,
  config: VitConfig,
  { classes }: Cohort,
): Promise<Networks> {
  const { settings, modes } = options;
  const batchSize = inferenceBatch(config, INFERENCE_BATCH);
  const inference = { config, classes: classes.length, cached: train.cache, batchSize };
  const optimizer = { ...ADAM, weightDecay: settings.weightDecay, clipGlobalNorm: settings.clipGlobalNorm };
  const whole = modes.includes("finetune");
  const asked = whole || modes.includes("released");
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
    classifier: asked ? await engine.compileInference(classifierInference(inference)) : null,
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

/** @returns weights of encoder and head; null after a probe, which trains no network */
async function runOnce(
  bench: Bench,
  from: EncoderOrigin,
  mode: DownstreamMode,
  seed: number,
  encoderWeights: Float32Array,
): Promise<{ run: Run; weights: Float32Array | null }> {
  const images = drawLabels(bench.cohort, bench.task.options.labels, seed);
  const { probabilities, losses, choice, weights } = await ask(bench, images, mode, encoderWeights, seed);
  if (!probabilities.every(Number.isFinite)) throw new ConsiliumError("training.diverged");
  return { run: { from, mode, seed, labels: setSize(images), losses, choice, probabilities }, weights };
}

/** Weights of encoder and head, losses of their training, and what they say of the test images. */
async function ask(
  bench: Bench,
  images: readonly LabelledImage[],
  mode: DownstreamMode,
  encoderWeights: Float32Array,
  seed: number,
) {
  switch (mode) {
    case "probe":
      return {
        probabilities: await runProbe(bench, images, encoderWeights),
        losses: [],
        choice: null,
        weights: null,
      };
    case "finetune":
      return runFinetuning(bench, images, encoderWeights, seed);
    case "released":
      return askReleased(bench);
  }
}

/** @throws manifest.mismatch if the global model, or this site, has no such head */
async function askReleased({ classifier, config, cohort, task, report }: Bench) {
  if (classifier === null) throw new Error("the classifier was not compiled");
  await report(0, 1, null);
  const parameters = classifierParameters(config, cohort.classes.length, 1);
  const weights = releasedWeights(parameters, config, task.encoders);
  await classifier.writeWeights(weights);
  const predictor = { inference: classifier, config, batchSize: inferenceBatch(config, INFERENCE_BATCH) };
  const { cache } = task.test ?? task.train;
  const probabilities = await predictImages(predictor, "probabilities", cache, cohort.test);
  await report(1, 1, null);
  return { probabilities, losses: [], choice: null, weights };
}

async function runProbe(
  { encoder, config, cohort, task, memory, report }: Bench,
  images: readonly LabelledImage[],
  encoderWeights: Float32Array,
): Promise<Float64Array> {
  if (encoder === null) throw new Error("the encoder was not compiled");
  await report(0, 1, null);
  await encoder.writeWeights(encoderWeights);
  const predictor = { inference: encoder, config, batchSize: inferenceBatch(config, INFERENCE_BATCH) };
  const features = (cache: ImageCache, of: readonly LabelledImage[]) =>
    predictImages(predictor, "features", cache, of);
  const { cache } = task.train;
  const testFeatures = memory.get(encoderWeights) ?? (await features(task.test?.cache ?? cache, cohort.test));
  memory.set(encoderWeights, testFeatures);
  const trainClasses = classIndices(images, cohort.classes);
  const { balanceClasses, probePenalty } = task.options.settings;
  const probabilities = probe({
    trainFeatures: await features(cache, images),
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
) {
  if (trainStep === null || classifier === null) throw new Error("the classifier was not compiled");
  const { classes } = cohort;
  const { settings, validation } = task.options;
  const { cache } = task.train;
  const { fitted, kept } = keepByPatient(images, validation, seed);
  const steps = fitSteps(fitted.length, settings);
  const say = async (weights: Float32Array, from: ImageCache, of: readonly LabelledImage[]) => {
    await classifier.writeWeights(weights);
    const predictor = { inference: classifier, config, batchSize: inferenceBatch(config, INFERENCE_BATCH) };
    return predictImages(predictor, "probabilities", from, of);
  };
  const score = async (candidate: Float32Array): Promise<number> =>
    meanLogLikelihood(await say(candidate, cache, kept), classIndices(kept, classes), classes.length);
  await report(0, steps, null);
  await trainStep.writeWeights(
    joinWeights(encoderWeights, initialClassifierHead(config, classes.length, seed)),
  );
  await trainStep.writeOptimizerState(null);
  const { losses, weights, isChosen } = await fit(
    {
      step: trainStep,
      images: fitted.length,
      config,
      cached: cache,
      batch: classBatches({ config, cache, images: fitted, classes, settings }),
      settings: { ...settings, flip: settings.flip && mayFlip(classes) },
      seed,
      validation: kept.length === 0 ? null : { score, floor: -Infinity },
    },
    (step, loss) => report(step, steps, loss),
  );
  const probabilities = await say(weights, task.test?.cache ?? cache, cohort.test);
  return { probabilities, losses, choice: choiceOf(task.options, isChosen), weights };
}

/** Of the true classes. */
function meanLogLikelihood(probabilities: Float32Array, truth: Int32Array, classes: number): number {
  return (
    truth.reduce((sum, c, i) => sum + Math.log(Math.max(1e-7, probabilities[i * classes + c] ?? 0)), 0) /
    truth.length
  );
}

/** The cases to look at: those whose true class was thought least probable. */
async function exemplify(
  { config, cohort, task }: Bench,
  { from, mode, probabilities }: Run,
  weights: Float32Array | null,
): Promise<Exemplar> {
  const { classes, test } = cohort;
  const truth = classIndices(test, classes);
  const of = (i: number, c: number): number => probabilities[i * classes.length + c] ?? 0;
  const goodness = Array.from(truth, (c, i) => of(i, c));
  const { cache } = task.test ?? task.train;
  const cases = await chooseCases(
    test,
    goodness,
    cache,
    sliceStepOf(task.volume),
    async (images, onShapes) => {
      const asked = images.map((image) => {
        const i = test.indexOf(image);
        const said = classes.reduce((best, _, c) => (of(i, c) > of(i, best) ? c : best), 0);
        return { image, class: said, probability: goodness[i] ?? 0 };
      });
      const questions = asked.map(({ image, class: c }) => ({
        image,
        chosen: againstOthers(c, classes.length),
      }));
      const network = { engine: task.engine, config, classes: classes.length, cache };
      const maps =
        weights === null || !task.options.report
          ? []
          : await attributions({ ...network, weights }, questions);
      for (const [i, { image, class: said, probability }] of asked.entries()) {
        const map = maps[i];
        const saliency = map === undefined ? null : saliencyMap(map, config);
        const shapes = { kind: "classes", said: classes[said] ?? "", truth: image.label } as const;
        onShapes(image, { ...shapes, probability, saliency });
      }
    },
  );
  const parameters = classifierParameters(config, classes.length, 1);
  const model = weights === null ? null : { manifest: manifestOf(parameters), values: weights };
  return { from, mode, cases, model };
}
