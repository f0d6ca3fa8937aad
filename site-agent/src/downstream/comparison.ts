/**
 * Few masks or boxes, one test set, several encoders: the same network, labels, schedule and seeds for all; only the
 * encoder's initial weights differ. See finetune.ts for classes.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { LabelledImage } from "../dataset/labels.ts";
import { keepByPatient } from "../dataset/splits.ts";
import type { Engine, Inference, TrainStep } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { chooseCases } from "./cases.ts";
import { drawLabels, splitOff } from "./cohort.ts";
import { evaluate, mainOf, type Run, type Sets } from "./compared-runs.ts";
import { loadEncoders } from "./encoder.ts";
import { featureMaps } from "./feature-map.ts";
import { fit, fitSteps } from "./fit.ts";
import { isKept } from "./kept.ts";
import type { LabelKind, LabelledSet } from "./label-kind.ts";
import { encoderParameters, joinWeights } from "./layers.ts";
import type { Statistic } from "./metrics.ts";
import type { RunName } from "./over-seeds.ts";
import { forEachImage, type Predictor } from "./predict.ts";
import { releasedWeights, runsOf } from "./released.ts";
import { attributions, saliencyMap } from "./saliency.ts";
import type {
  Choice,
  DownstreamMode,
  EncoderSources,
  Exemplar,
  FinetuneOptions,
  FinetuneOutcome,
  FinetuneProgress,
  Saliency,
} from "./types.ts";
import { assertFits, inferenceBatch, sliceStepOf, type ViewInputs } from "./views.ts";

export interface ComparisonTask<Set extends LabelledSet> {
  readonly engine: Engine;
  readonly model: Plan["model"];
  /** The grid of volumes, from a plan for volumes. */
  readonly volume?: Plan["volume"];
  readonly train: Set;
  /** Null splits the training cache by patient. */
  readonly test: Set | null;
  readonly encoders: EncoderSources;
  readonly options: FinetuneOptions;
}

/** Images at once where nothing is trained. */
const INFERENCE_BATCH = 16;
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/**
 * @param onProgress called before each run and after each step; awaited, so it may let messages in
 * @param signal stops at a step's border with the signal's reason
 * @throws labels.unmatched, labels.too-few, config.invalid, manifest.mismatch, training.diverged, cache.corrupt,
 * cache.wrong-size, engine.*
 */
export async function compareEncoders<Set extends LabelledSet, Inputs extends ViewInputs, Judged>(
  kind: LabelKind<Set, Inputs, Judged>,
  task: ComparisonTask<Set>,
  onProgress: (progress: FinetuneProgress) => void | Promise<void>,
  signal: AbortSignal,
): Promise<FinetuneOutcome> {
  const { options } = task;
  const config = vitConfig(task.model);
  assertFits(config, task.train.cache, task.test?.cache ?? null);
  const sets = formSets(kind, task);
  const encoders = loadEncoders(config, task.encoders);
  const bench = await Bench.compile(kind, task, config, sets);
  try {
    const runs: Run<Judged>[] = [];
    const total = encoders
      .flatMap(({ from }) => options.modes.map((mode) => runsOf(from, mode, options)))
      .reduce((sum, count) => sum + count, 0);
    let exemplar: Exemplar | null = null;
    for (const { from, weightsFor } of encoders) {
      for (const mode of options.modes) {
        for (let seed = 1; seed <= runsOf(from, mode, options); seed++) {
          const report = async (step: number, steps: number, loss: number | null): Promise<void> => {
            signal.throwIfAborted();
            await onProgress({ run: runs.length + 1, runs: total, from, mode, seed, step, steps, loss });
            signal.throwIfAborted();
          };
          const { run, weights } = await bench.run({ from, mode, seed }, weightsFor(seed), report);
          runs.push(run);
          if (seed === 1 && isKept(options, run))
            exemplar = { from, mode, ...(await bench.exemplar(run, weights)) };
        }
      }
    }
    const groups =
      kind.task === "findings"
        ? sets.test.map(({ label }) => label)
        : quarters((runs.at(-1)?.judged ?? []).map(kind.goodness));
    const maps = options.report
      ? await featureMaps({ ...task, config, encoders, images: sets.test, groups })
      : [];
    return { result: evaluate(kind, runs, sets, options), exemplar, maps };
  } finally {
    await bench.dispose();
  }
}

/** Whether each is among the worst quarter: are they of another kind? */
function quarters(goodness: readonly number[]): string[] {
  const bound = goodness.toSorted((a, b) => a - b)[Math.floor(goodness.length / 4)] ?? 0;
  return goodness.map((value) => (value < bound ? "the worst quarter" : "the others"));
}

/** No patient is in both. */
function formSets<Set extends LabelledSet, Inputs extends ViewInputs, Judged>(
  kind: LabelKind<Set, Inputs, Judged>,
  { train, test, options }: ComparisonTask<Set>,
): Sets {
  const all = kind.labelled(train);
  if (all.length === 0) throw new ConsiliumError("labels.unmatched");
  if (test === null) {
    const enough = (images: readonly LabelledImage[]): boolean => images.length > 0;
    return { ...splitOff(all, enough, options.testFraction), testSource: "split" };
  }
  const tested = kind.labelled(test);
  if (tested.length === 0) throw new ConsiliumError("labels.unmatched");
  const patients = new globalThis.Set(tested.map(({ patient }) => patient));
  const trained = all.filter(({ patient }) => !patients.has(patient));
  if (trained.length === 0) throw new ConsiliumError("labels.too-few");
  return { train: trained, test: tested, testSource: "cache" };
}

/** The compiled graphs, and what is done with them. */
class Bench<Set extends LabelledSet, Inputs extends ViewInputs, Judged> {
  readonly #kind: LabelKind<Set, Inputs, Judged>;
  readonly #task: ComparisonTask<Set>;
  readonly #config: VitConfig;
  readonly #sets: Sets;
  readonly #steps: ReadonlyMap<DownstreamMode, TrainStep<Inputs>>;
  readonly #inference: Inference<ViewInputs>;

  private constructor(
    kind: LabelKind<Set, Inputs, Judged>,
    task: ComparisonTask<Set>,
    config: VitConfig,
    sets: Sets,
    steps: ReadonlyMap<DownstreamMode, TrainStep<Inputs>>,
    inference: Inference<ViewInputs>,
  ) {
    this.#kind = kind;
    this.#task = task;
    this.#config = config;
    this.#sets = sets;
    this.#steps = steps;
    this.#inference = inference;
  }

  static async compile<Set extends LabelledSet, Inputs extends ViewInputs, Judged>(
    kind: LabelKind<Set, Inputs, Judged>,
    task: ComparisonTask<Set>,
    config: VitConfig,
    sets: Sets,
  ): Promise<Bench<Set, Inputs, Judged>> {
    const { settings, modes } = task.options;
    const { batchSize, weightDecay, clipGlobalNorm } = settings;
    const steps = new Map<DownstreamMode, TrainStep<Inputs>>();
    for (const mode of modes) {
      if (mode === "released") continue;
      // A probe trains the head alone.
      const encoder = encoderParameters(config, mode === "probe" ? 0 : settings.layerDecay);
      const definition = kind.trainStep(batchSize, [...encoder, ...kind.headParameters], {
        ...ADAM,
        weightDecay,
        clipGlobalNorm,
      });
      steps.set(mode, await task.engine.compileTrainStep(definition));
    }
    const parameters = [...encoderParameters(config, 1), ...kind.headParameters];
    const asked = kind.inference(inferenceBatch(config, INFERENCE_BATCH), parameters);
    const inference = await task.engine.compileInference(asked);
    return new Bench(kind, task, config, sets, steps, inference);
  }

  async run(
    { from, mode, seed }: RunName,
    encoderWeights: Float32Array,
    report: (step: number, steps: number, loss: number | null) => Promise<void>,
  ): Promise<{ run: Run<Judged>; weights: Float32Array }> {
    const { options, train, test } = this.#task;
    const { settings } = options;
    const labels = drawLabels(this.#sets, options.labels, seed);
    if (mode === "released") return this.#askReleased({ from, mode, seed, labels }, report);
    const step = this.#steps.get(mode);
    if (step === undefined) throw new Error(`no step was compiled for ${mode}`);
    const { fitted, kept } = keepByPatient(labels, options.validation, seed);
    const steps = fitSteps(fitted.length, settings);
    const batch = this.#kind.batches(train, fitted);
    await report(0, steps, null);
    await step.writeWeights(joinWeights(encoderWeights, this.#kind.initialHead(seed)));
    await step.writeOptimizerState(null);
    const { losses, weights, isChosen } = await fit(
      {
        step,
        images: fitted.length,
        config: this.#config,
        cached: train.cache,
        batch: (places, crops) => {
          const images = Array.from(places, (i) => fitted[i]).filter((image) => image !== undefined);
          return batch(images, crops);
        },
        settings: { ...settings, flip: settings.flip && this.#kind.flips },
        seed,
        validation:
          kept.length === 0
            ? null
            : { score: async (of) => this.#main(await this.#judge(of, train, kept))(), floor: 0 },
      },
      (done, loss) => report(done, steps, loss),
    );
    const judged = await this.#judge(weights, test ?? train, this.#sets.test);
    const choice = choiceOf(options, isChosen);
    return { run: { from, mode, seed, labels, losses, choice, judged }, weights };
  }

  async #askReleased(
    run: RunName & { readonly labels: readonly LabelledImage[] },
    report: (step: number, steps: number, loss: number | null) => Promise<void>,
  ): Promise<{ run: Run<Judged>; weights: Float32Array }> {
    const { encoders, train, test } = this.#task;
    await report(0, 1, null);
    const parameters = [...encoderParameters(this.#config, 1), ...this.#kind.headParameters];
    const weights = releasedWeights(parameters, this.#config, encoders);
    const judged = await this.#judge(weights, test ?? train, this.#sets.test);
    await report(1, 1, null);
    return { run: { ...run, losses: [], choice: null, judged }, weights };
  }

  /** The cases to look at, with what these weights say of them. */
  async exemplar({ judged }: Run<Judged>, weights: Float32Array): Promise<Pick<Exemplar, "cases" | "model">> {
    const { train, test, model, volume } = this.#task;
    const set = test ?? train;
    const goodness = judged.map(this.#kind.goodness);
    const step = sliceStepOf(volume);
    const cases = await chooseCases(this.#sets.test, goodness, set.cache, step, async (images, onShapes) => {
      const maps = await this.#saliency(images, judged, weights);
      await this.#inference.writeWeights(weights);
      await forEachImage(this.#predictor, set.cache, images, (image, outputs) => {
        onShapes(image, this.#kind.shapes(set, image, outputs, maps.get(image.index) ?? null));
      });
    });
    const parameters = [...encoderParameters(vitConfig(model), 1), ...this.#kind.headParameters];
    return { cases, model: { manifest: manifestOf(parameters), values: weights } };
  }

  /** By index; empty unless a report wants them and the network is a classifier. */
  async #saliency(
    images: readonly LabelledImage[],
    judged: readonly Judged[],
    weights: Float32Array,
  ): Promise<ReadonlyMap<number, Saliency>> {
    const { engine, train, test, options } = this.#task;
    const { question, classes } = this.#kind;
    if (question === undefined || !options.report) return new Map();
    const places = new Map(this.#sets.test.map(({ index }, i) => [index, i]));
    const asked = images.flatMap((image) => {
      const one = judged[places.get(image.index) ?? -1];
      return one === undefined ? [] : [{ image, chosen: question(one) }];
    });
    const { cache } = test ?? train;
    const network = { engine, config: this.#config, classes: classes.length, weights, cache };
    const maps = await attributions(network, asked);
    return new Map(
      asked.flatMap(({ image }, i) => {
        const map = maps[i];
        return map === undefined ? [] : [[image.index, saliencyMap(map, this.#config)] as const];
      }),
    );
  }

  get #predictor(): Predictor {
    const batchSize = inferenceBatch(this.#config, INFERENCE_BATCH);
    return { inference: this.#inference, config: this.#config, batchSize };
  }

  async #judge(weights: Float32Array, set: Set, images: readonly LabelledImage[]): Promise<Judged[]> {
    await this.#inference.writeWeights(weights);
    const judged: Judged[] = [];
    await forEachImage(this.#predictor, set.cache, images, (image, outputs) => {
      if (!Object.values(outputs).every((values) => values.every(Number.isFinite))) {
        throw new ConsiliumError("training.diverged");
      }
      judged.push(this.#kind.judge(set, image, outputs));
    });
    return judged;
  }

  #main(judged: readonly Judged[]): Statistic {
    return mainOf(this.#kind.statistics(judged));
  }

  async dispose(): Promise<void> {
    for (const step of this.#steps.values()) await step.dispose();
    await this.#inference.dispose();
  }
}

export const choiceOf = ({ validation }: Pick<FinetuneOptions, "validation">, isChosen: boolean): Choice =>
  validation === 0 ? null : isChosen ? "chosen" : "unscored";
