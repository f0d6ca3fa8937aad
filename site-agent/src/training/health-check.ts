/**
 * A look at the global model that a round starts from, on this site's images: what leaves are sums over features, never a
 * feature. All sites look at the same model, so that their sums are those of all images together.
 */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import type { SiteScores } from "@consilium/shared/evaluation/score-fields";
import type { SiteOverlaps } from "@consilium/shared/evaluation/mask-extras";
import type { SiteHealth } from "@consilium/shared/health/extras";
import { MomentSums } from "@consilium/shared/health/moments";
import { vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { concatenate } from "@consilium/shared/vector";
import { readImages } from "../dataset/batches.ts";
import { holdOut } from "../dataset/held-out.ts";
import { askedShareOf, trainingImages } from "../dataset/training-images.ts";
import { labelledImages } from "../dataset/labels.ts";
import type { SiteLabels } from "../dataset/taught-labels.ts";
import { Random } from "../dataset/random.ts";
import type { ImageCache } from "../dataset/types.ts";
import { labelScores, type LabelledFeature } from "../downstream/label-scores.ts";
import { probeAnswers, scoreCounts } from "../downstream/probe-scores.ts";
import { createEngine } from "../engine/engine.ts";
import type { Engine, Inference } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { featureArrays, featureDefinition } from "../pretext/features.ts";
import { pretextTask } from "../pretext/index.ts";
import { keptAtStart, weightsAtSite } from "../pretext/sharing.ts";
import type { PretextTask } from "../pretext/types.ts";
import { HeadCheck } from "./head-check.ts";
import { MaskCheck } from "./mask-check.ts";
import { filled, LOOK_BATCH as BATCH, lookBatches, spread } from "./look-batches.ts";
import { replicaEngines } from "./replica-engines.ts";
import type { TrainingEngine } from "./types.ts";

/** Of the crops and masks, in every round: what changes is the model. */
const SEED = 0x4ea1;

/** With the labels that lie beside it; findings and masks only where the plan asks. */
interface Looked extends SiteLabels {
  readonly cache: ImageCache;
  /** Weights that the task keeps at the site; null or absent: as all sites begin with them. */
  readonly kept?: Float32Array | null;
  readonly signal: AbortSignal;
}

interface FoundFeature {
  /** Place in the cache. */
  readonly index: number;
  /** Of the whole image, and of another view of it. */
  readonly feature: Float32Array;
  readonly other: Float32Array;
}

/** Compiled once, used in every round. */
export class HealthCheck {
  readonly #plan: Plan;
  readonly #task: PretextTask;
  readonly #features: Inference;
  /** Null where the task has no answer to judge. */
  readonly #judge: Inference | null;
  /** Null where the plan trains no head. */
  readonly #head: HeadCheck | null;
  /** Null where the plan asks for no masks. */
  readonly #masks: MaskCheck | null;

  private constructor(
    plan: Plan,
    task: PretextTask,
    features: Inference,
    judge: Inference | null,
    head: HeadCheck | null,
    masks: MaskCheck | null,
  ) {
    this.#plan = plan;
    this.#task = task;
    this.#features = features;
    this.#judge = judge;
    this.#head = head;
    this.#masks = masks;
  }

  /** @throws plan.invalid, engine.* */
  static async compile(engine: Engine, plan: Plan): Promise<HealthCheck> {
    const task = pretextTask(plan);
    const { parameters, judge } = task;
    const features = await engine.compileInference(featureDefinition(plan, BATCH));
    const judging =
      judge === undefined
        ? null
        : await engine.compileInference({ parameters, inputs: task.inputs(BATCH), forward: judge });
    const head = await HeadCheck.compile(engine, plan);
    return new HealthCheck(plan, task, features, judging, head, await MaskCheck.compile(engine, plan));
  }

  /**
   * @param base the weights that travel
   * @throws engine.run-failed, cache.corrupt; the signal's reason between two batches
   */
  async look(base: Float32Array, looked: Looked): Promise<SiteHealth> {
    const { width } = vitConfig(this.#plan.model);
    const images = this.#plan.health?.images ?? 0;
    const all = looked.cache.records.map((_, index) => index);
    const found = await this.#featuresOf(base, spread(all, images), looked);
    if (found.length < 2) return { moments: null, heldOut: null, labelled: null };
    const sums = new MomentSums(width);
    for (const { feature, other } of found) sums.add(feature, other);
    return {
      moments: sums.means(),
      heldOut: await this.#judged(base, looked),
      labelled: labelScores(withLabels(found, looked), askedShareOf(this.#plan)),
      scores: await this.#scored(base, looked),
      overlaps: await this.#overlaps(base, looked),
    };
  }

  /**
   * How the head that is trained scores this site's test patients, or one on this site's labels other patients of it; null
   * where the plan does not ask, or labels are too few.
   */
  async #scored(base: Float32Array, looked: Looked): Promise<SiteScores | null> {
    if (this.#head !== null && this.#plan.pretext.task !== "masks")
      return this.#head.scores(concatenate([base, this.#kept(looked)]), looked);
    const evaluation = evaluationOf(this.#plan);
    if (evaluation === null) return null;
    const features = await this.labelledFeatures(base, looked);
    const answers = probeAnswers(features, evaluation.classes, askedShareOf(this.#plan));
    return answers && scoreCounts(answers, evaluation.classes);
  }

  /** The same of masks. */
  async #overlaps(base: Float32Array, looked: Looked): Promise<SiteOverlaps | null> {
    if (this.#head !== null && this.#plan.pretext.task === "masks")
      return this.#head.overlaps(concatenate([base, this.#kept(looked)]), looked);
    return (await this.#masks?.overlaps(base, { ...looked, masks: looked.masks ?? null })) ?? null;
  }

  /** Of the images with a label that the plan evaluates, evenly spread; none where it does not. */
  async labelledFeatures(base: Float32Array, looked: Looked): Promise<LabelledFeature[]> {
    const { classes, images } = evaluationOf(this.#plan) ?? { classes: [], images: 0 };
    const usable = labelledImages(looked.cache.records, looked.labels)
      .filter(({ label }) => classes.includes(label))
      .map(({ index }) => index);
    return withLabels(await this.#featuresOf(base, spread(usable, images), looked), looked);
  }

  async #featuresOf(
    base: Float32Array,
    indices: readonly number[],
    { cache, signal }: Looked,
  ): Promise<FoundFeature[]> {
    const config = vitConfig(this.#plan.model);
    const { width } = config;
    // Every task has the encoder's weights first.
    await this.#features.writeWeights(base.subarray(0, vectorLength(manifestOf(vitParameters(config)))));
    const random = new Random(SEED);
    const found: FoundFeature[] = [];
    for (const chosen of lookBatches(indices)) {
      signal.throwIfAborted();
      const images = readImages(cache, filled(chosen), this.#plan.model.channels);
      const { features = new Float32Array() } = await this.#features.run(
        featureArrays(this.#plan, images, BATCH, random),
      );
      const row = (at: number): Float32Array => features.slice(at * width, (at + 1) * width);
      for (const [i, index] of chosen.entries()) {
        found.push({ index, feature: row(i), other: row(BATCH + i) });
      }
    }
    return found;
  }

  /** Of the images held out, in whole batches; those left over are left out, so that none counts twice. */
  async #judged(base: Float32Array, looked: Looked): Promise<SiteHealth["heldOut"]> {
    const { cache, signal } = looked;
    const usable = trainingImages(cache, this.#plan, looked);
    const { heldOut } = holdOut(usable, this.#plan);
    const most = Math.min(heldOut.length, this.#plan.health?.images ?? 0);
    if (this.#judge === null || most === 0) return null;
    await this.#judge.writeWeights(weightsAtSite(this.#task, base, { kept: this.#kept(looked), draw: null }));
    const random = new Random(SEED);
    const whole = Math.max(1, Math.floor(most / BATCH));
    let [loss, meanAnswerLoss] = [0, 0];
    for (const chosen of [...lookBatches(heldOut.slice(0, most))].slice(0, whole)) {
      signal.throwIfAborted();
      const places = filled(chosen);
      const images = readImages(usable, places, this.#plan.model.channels);
      const judged = await this.#judge.run(this.#task.prepare(images, random, usable.answers?.(places)));
      loss += (judged["loss"]?.[0] ?? NaN) / whole;
      meanAnswerLoss += (judged["meanAnswerLoss"]?.[0] ?? NaN) / whole;
    }
    return { loss, meanAnswerLoss };
  }

  #kept({ kept }: Pick<Looked, "kept">): Float32Array {
    return keptAtStart(this.#task, this.#plan, kept ?? null);
  }

  async dispose(): Promise<void> {
    await this.#features.dispose();
    await this.#judge?.dispose();
    await this.#head?.dispose();
    await this.#masks?.dispose();
  }
}

function withLabels(
  found: readonly FoundFeature[],
  { cache, labels }: Pick<Looked, "cache" | "labels">,
): LabelledFeature[] {
  return found.flatMap(({ index, feature }) => {
    const record = cache.records[index];
    const label = record === undefined ? undefined : labels.get(record.image);
    return record === undefined || label === undefined ? [] : [{ patient: record.patient, label, feature }];
  });
}

/** On the first of the devices that the settings name. @throws plan.invalid, engine.* */
export async function openHealthCheck(settings: TrainingEngine, plan: Plan): Promise<HealthCheck> {
  const [engine] = await replicaEngines(settings);
  return HealthCheck.compile(await createEngine(engine), plan);
}
