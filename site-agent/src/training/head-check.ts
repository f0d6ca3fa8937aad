/**
 * What the head that a round starts from says of this site's test patients, on whom nobody trains: this site's part of the
 * common evaluation (shared/evaluation) where the plan trains a head. What leaves are counts, in a masked sum.
 */
import { countScores } from "@consilium/shared/evaluation/auroc";
import { overlapOf } from "@consilium/shared/evaluation/dice";
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import type { SiteScores } from "@consilium/shared/evaluation/score-fields";
import { findingEvaluationOf } from "@consilium/shared/evaluation/finding-extras";
import { MASK_GRID, maskEvaluationOf, type SiteOverlaps } from "@consilium/shared/evaluation/mask-extras";
import type { Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { readImages } from "../dataset/batches.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import { answersFor, type SiteLabels, type TaughtPlan } from "../dataset/taught-labels.ts";
import { labelledParts } from "../dataset/training-images.ts";
import type { ImageCache } from "../dataset/types.ts";
import { FEWEST_LABELLED } from "../downstream/label-scores.ts";
import { FEWEST_MASKED, maskCells } from "../downstream/mask-probe.ts";
import { column } from "../downstream/metrics.ts";
import { scoreCounts } from "../downstream/probe-scores.ts";
import type { Engine, Inference } from "../engine/types.ts";
import { taughtDefinition } from "../pretext/taught.ts";
import { wholeArrays, type CropInputs } from "../model/crop-inputs.ts";
import { vitConfig } from "../model/sizes.ts";
import { filled, LOOK_BATCH, lookBatches, spread } from "./look-batches.ts";

interface Asked extends SiteLabels {
  readonly cache: ImageCache;
  readonly signal: AbortSignal;
}

/** How many images the plan wants to be asked about at a site; null where it does not evaluate what it teaches. */
function mostAsked(plan: Plan, { task }: TaughtPlan): number | null {
  const evaluation = { classify: evaluationOf, findings: findingEvaluationOf, masks: maskEvaluationOf }[task];
  return evaluation(plan)?.images ?? null;
}

/** Fewer say too little. */
const FEWEST = { classify: FEWEST_LABELLED, findings: FEWEST_LABELLED, masks: FEWEST_MASKED } as const;

export class HeadCheck {
  readonly #plan: Plan;
  readonly #teaching: TaughtPlan;
  readonly #most: number;
  readonly #inference: Inference<CropInputs>;

  private constructor(plan: Plan, teaching: TaughtPlan, most: number, inference: Inference<CropInputs>) {
    this.#plan = plan;
    this.#teaching = teaching;
    this.#most = most;
    this.#inference = inference;
  }

  /** Null where the plan trains no head, or does not evaluate it. @throws engine.* */
  static async compile(engine: Engine, plan: Plan): Promise<HeadCheck | null> {
    const teaching = taughtIn(plan.pretext);
    const most = teaching === null ? null : mostAsked(plan, teaching);
    if (teaching === null || most === null) return null;
    const definition = taughtDefinition(plan, teaching, LOOK_BATCH);
    return new HeadCheck(plan, teaching, most, await engine.compileInference(definition));
  }

  /**
   * Of classes and findings.
   * @param weights encoder and head
   * @returns null where too few test images have a label of the plan, or the plan teaches masks
   * @throws engine.run-failed, cache.corrupt; the signal's reason between two batches
   */
  async scores(weights: Float32Array, asked: Asked): Promise<SiteScores | null> {
    const { classes } = this.#teaching;
    if (this.#teaching.task === "masks") return null;
    const answers = await this.answers(weights, asked);
    if (answers === null) return null;
    const { images, probabilities } = answers;
    if (this.#teaching.task === "classify")
      return scoreCounts({ probabilities, labels: images.map(({ label }) => label) }, classes);
    const truth = answersFor(asked.cache, images, asked, this.#teaching).answers([...images.keys()]);
    if (truth.kind !== "findings") throw new Error("findings are scored by findings");
    return classes.map((_, c) => {
      const known = [...images.keys()].filter((i) => truth.weights[i * classes.length + c] !== 0);
      const of = (values: ArrayLike<number>): number[] =>
        known.map((i) => values[i * classes.length + c] ?? NaN);
      return countScores(of(probabilities), of(truth.present));
    });
  }

  /** Of masks; null where too few test images have some, a class of the plan is missing here, or it teaches others. Else as `scores`. */
  async overlaps(weights: Float32Array, asked: Asked): Promise<SiteOverlaps | null> {
    const { classes, task } = this.#teaching;
    if (task !== "masks" || !classes.every((name) => asked.masks?.classes.includes(name))) return null;
    const { tested } = labelledParts(asked.cache, asked, this.#teaching);
    const images = spread(tested, this.#most);
    if (images.length < FEWEST.masks) return null;
    const { answers } = answersFor(asked.cache, images, asked, this.#teaching);
    const [intersections, sizes] = [new Float64Array(classes.length), new Float64Array(classes.length)];
    let place = 0;
    for await (const said of this.#saidOf(weights, images, asked)) {
      const truth = answers([place++]);
      if (truth.kind !== "masks") throw new Error("masks are met by masks");
      for (const c of classes.keys()) {
        if (truth.weights[c] === 0) continue;
        const [inside, marked] = [said.map((p) => 255 * p), truth.coverage].map((values) =>
          maskCells(column(values, classes.length, c), MASK_GRID),
        );
        const { intersection, size } = overlapOf(inside ?? [], marked ?? []);
        intersections[c] = (intersections[c] ?? 0) + intersection;
        sizes[c] = (sizes[c] ?? 0) + size;
      }
    }
    return { images: images.length, intersections, sizes };
  }

  /** What is said of this site's test images, [images, classes]. As `scores`. */
  async answers(
    weights: Float32Array,
    asked: Asked,
  ): Promise<{ readonly images: readonly LabelledImage[]; readonly probabilities: Float64Array } | null> {
    const { tested } = labelledParts(asked.cache, asked, this.#teaching);
    const images = spread(tested, this.#most);
    if (images.length < FEWEST[this.#teaching.task]) return null;
    const classes = this.#teaching.classes.length;
    const probabilities = new Float64Array(images.length * classes);
    let place = 0;
    for await (const said of this.#saidOf(weights, images, asked)) probabilities.set(said, classes * place++);
    return { images, probabilities };
  }

  /** The probabilities of image after image. */
  async *#saidOf(
    weights: Float32Array,
    images: readonly LabelledImage[],
    { cache, signal }: Asked,
  ): AsyncGenerator<Float32Array, void> {
    await this.#inference.writeWeights(weights);
    for (const chosen of lookBatches(images)) {
      signal.throwIfAborted();
      const places = filled(chosen.map(({ index }) => index));
      const pixels = readImages(cache, places, this.#plan.model.channels);
      const { probabilities = new Float32Array() } = await this.#inference.run(
        wholeArrays(this.#plan, vitConfig(this.#plan.model), pixels, LOOK_BATCH),
      );
      const length = probabilities.length / LOOK_BATCH;
      for (const i of chosen.keys()) yield probabilities.slice(i * length, (i + 1) * length);
    }
  }

  dispose(): Promise<void> {
    return this.#inference.dispose();
  }
}
