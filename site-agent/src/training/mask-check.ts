/** How well the model that a round starts from finds what this site's masks show: its part of the common evaluation. */
import { maskEvaluationOf, type SiteOverlaps } from "@consilium/shared/evaluation/mask-extras";
import { vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { readImages } from "../dataset/batches.ts";
import { knows } from "../dataset/known.ts";
import type { MaskSet } from "../dataset/masks.ts";
import { askedShareOf } from "../dataset/training-images.ts";
import type { ImageCache } from "../dataset/types.ts";
import { maskOverlaps, type MaskedTokens } from "../downstream/mask-probe.ts";
import type { Engine, Inference } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { gridSize, patchCount, vitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { wholeArrays, type CropInputs } from "../model/crop-inputs.ts";
import { tokenDefinition } from "../pretext/features.ts";
import { filled, LOOK_BATCH, lookBatches, spread } from "./look-batches.ts";

interface Looked {
  readonly cache: ImageCache;
  /** Null where the site has none. */
  readonly masks: MaskSet | null;
  readonly signal: AbortSignal;
}

export class MaskCheck {
  readonly #plan: Plan;
  readonly #tokens: Inference<CropInputs>;

  private constructor(plan: Plan, tokens: Inference<CropInputs>) {
    this.#plan = plan;
    this.#tokens = tokens;
  }

  /** Null where the plan asks for no masks, or teaches a head, which is asked then (head-check.ts). @throws engine.* */
  static async compile(engine: Engine, plan: Plan): Promise<MaskCheck | null> {
    if (maskEvaluationOf(plan) === null || plan.pretext.task === "masks") return null;
    return new MaskCheck(plan, await engine.compileInference(tokenDefinition(plan, LOOK_BATCH)));
  }

  /**
   * @param base the weights that travel, the encoder's first
   * @returns null where the site lacks a class of the plan, or has too few images with masks
   * @throws engine.run-failed, cache.corrupt; the signal's reason between two batches
   */
  async overlaps(base: Float32Array, looked: Looked): Promise<SiteOverlaps | null> {
    const { classes, images } = maskEvaluationOf(this.#plan) ?? { classes: [], images: 0 };
    const { masks, cache } = looked;
    const places = classes.map((name) => masks?.classes.indexOf(name) ?? -1);
    if (masks === null || places.includes(-1)) return null;
    const masked = cache.records.flatMap(({ image }, index) =>
      classes.every((name) => knows(masks.known, image, name)) ? [index] : [],
    );
    const found = await this.#read(base, spread(masked, images), places, { ...looked, masks });
    const side = gridSize(vitConfig(this.#plan.model));
    return maskOverlaps(found, classes.length, side, askedShareOf(this.#plan));
  }

  async #read(
    base: Float32Array,
    indices: readonly number[],
    places: readonly number[],
    { cache, masks, signal }: Looked & { readonly masks: MaskSet },
  ): Promise<MaskedTokens[]> {
    const config = vitConfig(this.#plan.model);
    await this.#tokens.writeWeights(base.subarray(0, vectorLength(manifestOf(vitParameters(config)))));
    const length = patchCount(config) * config.width;
    const area = masks.sizePx ** 2;
    const all = new Uint8Array(masks.classes.length * area);
    const found: MaskedTokens[] = [];
    for (const chosen of lookBatches(indices)) {
      signal.throwIfAborted();
      const pixels = readImages(cache, filled(chosen), this.#plan.model.channels);
      const { tokens = new Float32Array() } = await this.#tokens.run(
        wholeArrays(this.#plan, config, pixels, LOOK_BATCH),
      );
      for (const [i, index] of chosen.entries()) {
        const record = cache.records[index];
        if (record === undefined) continue;
        masks.read(record.image, all);
        found.push({
          patient: record.patient,
          tokens: tokens.slice(i * length, (i + 1) * length),
          masks: places.map((place) => all.slice(place * area, (place + 1) * area)),
        });
      }
    }
    return found;
  }

  dispose(): Promise<void> {
    return this.#tokens.dispose();
  }
}
