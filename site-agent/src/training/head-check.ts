/**
 * How the head that a round starts from scores this site's test patients, on whom nobody trains: this site's part of the
 * common evaluation (shared/evaluation) where the plan trains a head. What leaves are counts, in a masked sum.
 */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import type { Plan } from "@consilium/shared/plan";
import { readImages } from "../dataset/batches.ts";
import type { Labels } from "../dataset/labels.ts";
import { labelledParts } from "../dataset/training-images.ts";
import type { ImageCache } from "../dataset/types.ts";
import { FEWEST_LABELLED } from "../downstream/label-scores.ts";
import type { ProbeAnswers } from "../downstream/probe-scores.ts";
import type { Engine, Inference } from "../engine/types.ts";
import { classDefinition, type ClassifySettings } from "../pretext/classify.ts";
import { wholeArrays, type CropInputs } from "../model/crop-inputs.ts";
import { vitConfig } from "../model/sizes.ts";
import { filled, LOOK_BATCH, lookBatches, spread } from "./look-batches.ts";

export class HeadCheck {
  readonly #plan: Plan;
  readonly #settings: ClassifySettings;
  readonly #inference: Inference<CropInputs>;

  private constructor(plan: Plan, settings: ClassifySettings, inference: Inference<CropInputs>) {
    this.#plan = plan;
    this.#settings = settings;
    this.#inference = inference;
  }

  /** Null where the plan trains no head, or does not evaluate it. @throws engine.* */
  static async compile(engine: Engine, plan: Plan): Promise<HeadCheck | null> {
    const { pretext } = plan;
    if (pretext.task !== "classify" || evaluationOf(plan) === null) return null;
    const definition = classDefinition(plan, pretext, LOOK_BATCH);
    return new HeadCheck(plan, pretext, await engine.compileInference(definition));
  }

  /**
   * @param weights encoder and head
   * @returns null where too few test images have a label of the plan
   * @throws engine.run-failed, cache.corrupt; the signal's reason between two batches
   */
  async answers(
    weights: Float32Array,
    { cache, labels, signal }: { cache: ImageCache; labels: Labels; signal: AbortSignal },
  ): Promise<ProbeAnswers | null> {
    const { tested } = labelledParts(cache, labels, this.#settings);
    const asked = spread(tested, evaluationOf(this.#plan)?.images ?? 0);
    if (asked.length < FEWEST_LABELLED) return null;
    const classes = this.#settings.classes.length;
    const probabilities = new Float64Array(asked.length * classes);
    await this.#inference.writeWeights(weights);
    let done = 0;
    for (const chosen of lookBatches(asked)) {
      signal.throwIfAborted();
      const places = filled(chosen.map(({ index }) => index));
      const images = readImages(cache, places, this.#plan.model.channels);
      const { probabilities: said = new Float32Array() } = await this.#inference.run(
        wholeArrays(this.#plan, vitConfig(this.#plan.model), images, LOOK_BATCH),
      );
      probabilities.set(said.subarray(0, chosen.length * classes), done * classes);
      done += chosen.length;
    }
    return { probabilities, labels: asked.map(({ label }) => label) };
  }

  dispose(): Promise<void> {
    return this.#inference.dispose();
  }
}
