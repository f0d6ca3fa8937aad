/** What the comparison of encoders needs to know of a kind of label: a network, its loss, and how to judge what it says. */
import type { CachedImages } from "../dataset/cache.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type {
  AdamWOptions,
  InferenceDefinition,
  InputArrays,
  Parameter,
  TrainStepDefinition,
} from "../engine/types.ts";
import type { AreaInfluence } from "./delong.ts";
import type { Statistic } from "./metrics.ts";
import type { ImageOutputs } from "./predict.ts";
import type { CaseShapes, Curve, Saliency } from "./types.ts";
import type { ViewCrop, ViewInputs } from "./views.ts";

/** An open cache; a kind of label adds its labels. */
export interface LabelledSet {
  readonly cache: CachedImages;
}

/** @typeParam Judged what is kept of one test image; small */
export interface LabelKind<Set extends LabelledSet, Inputs extends ViewInputs, Judged> {
  readonly task: "segmentation" | "localization" | "findings";
  /** Names by index. */
  readonly classes: readonly string[];
  /** Names of the statistics that concern all classes. */
  readonly measures: readonly string[];
  /** Whether a mirrored image is still labelled rightly. */
  readonly flips: boolean;
  /** The images that are labelled; `label` says in which proportion a few of them are drawn. */
  readonly labelled: (set: Set) => readonly LabelledImage[];
  readonly headParameters: readonly Parameter[];
  readonly initialHead: (seed: number) => Float32Array;
  readonly trainStep: (
    batchSize: number,
    parameters: readonly Parameter[],
    optimizer: AdamWOptions,
  ) => TrainStepDefinition<Inputs>;
  readonly inference: (
    batchSize: number,
    parameters: readonly Parameter[],
  ) => InferenceDefinition<ViewInputs>;
  /**
   * Batches for the training step; the same crops of images and labels.
   * @param fitted all that are trained on, among which the images are
   */
  readonly batches: (
    set: Set,
    fitted: readonly LabelledImage[],
  ) => (images: readonly LabelledImage[], crops: readonly ViewCrop[]) => InputArrays<Inputs>;
  /** @param outputs the inference's, of this image alone */
  readonly judge: (set: Set, image: LabelledImage, outputs: ImageOutputs) => Judged;
  /** What a run is measured by; the first is the one that chooses weights and cases. Larger is better there. */
  readonly statistics: (judged: readonly Judged[]) => Readonly<Record<string, Statistic>>;
  /** Of the first statistic, if it is an area under ROC curves. */
  readonly area?: (judged: readonly Judged[], patients: readonly string[]) => AreaInfluence | null;
  readonly curves: (judged: readonly Judged[]) => readonly Curve[];
  /** How good one image's result is, 0 to 1. */
  readonly goodness: (judged: Judged) => number;
  /** Of a network that is a classifier: factors of its logits in the score that saliency explains for this image. */
  readonly question?: (judged: Judged) => Float32Array;
  /** What a report draws of an image. @param saliency where there is a question */
  readonly shapes: (
    set: Set,
    image: LabelledImage,
    outputs: ImageOutputs,
    saliency: Saliency | null,
  ) => CaseShapes;
}

/** No class depends on the side of the body, as far as its name tells: then images may be mirrored. */
export function mayFlip(classes: readonly string[]): boolean {
  return !classes.some((name) => /(^|[^a-z])(left|right|l|r)([^a-z]|$)/i.test(name));
}
