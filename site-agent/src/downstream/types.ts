/** What `consilium-site finetune` asks for and what it gives back. */
import type { Checkpoint } from "@consilium/shared/codec";
import type { Plan } from "@consilium/shared/plan";
import type { ClassSource } from "../dataset/class-source.ts";
import type { Labels } from "../dataset/labels.ts";
import type { LabelBudget } from "../dataset/splits.ts";
import type { EngineOptions } from "../engine/types.ts";
import type { Estimate } from "./bootstrap.ts";
import type { TestedDifference } from "./delong.ts";
import type { Detection, Target } from "./localization/rectangles.ts";
import type { PrecisionRecallPoint, ReliabilityBin, RocPoint } from "./rate-curves.ts";
import type { SegmentationHead } from "./segmentation/network.ts";

/** What is learned, by the kind of label that it is learned from. */
export const DOWNSTREAM_TASKS = ["classification", "findings", "segmentation", "localization"] as const;
export type DownstreamTask = (typeof DOWNSTREAM_TASKS)[number];

/** Where the encoder's weights come from: at random, from this site's images alone, from the federation. */
export type EncoderOrigin = "scratch" | "own" | "global";

/**
 * A linear head on the frozen encoder, training of the whole network, or none: the federation's network as it was released, where
 * the plan trained a head.
 */
export const DOWNSTREAM_MODES = ["probe", "finetune", "released"] as const;
export type DownstreamMode = (typeof DOWNSTREAM_MODES)[number];

/** How the whole network is trained. The defaults are in finetune-defaults.ts, with how they were found. */
export interface FinetuneSettings {
  /** Passes over the labels, exactly; null takes usualEpochs, but at least minSteps and at most maxSteps. */
  readonly epochs: number | null;
  readonly usualEpochs: number;
  readonly minSteps: number;
  readonly maxSteps: number;
  readonly batchSize: number;
  /** Peak of the cosine schedule. */
  readonly learningRate: number;
  /** Share of the steps over which the learning rate rises. */
  readonly warmup: number;
  /** Factor on the learning rate from one block to the next below. */
  readonly layerDecay: number;
  readonly weightDecay: number;
  readonly clipGlobalNorm: number;
  /** Share of the wanted probability that is spread over all classes. */
  readonly labelSmoothing: number;
  /** Weights each class's loss by its rarity. */
  readonly balanceClasses: boolean;
  readonly cropMinArea: number;
  readonly cropMaxArea: number;
  readonly flip: boolean;
  /** Largest uneven stretch of either axis (dataset/crops.ts); 0 for none, and for boxes, which do not follow it. */
  readonly stretchMax: number;
  /** Brightness x of 0 to 1 becomes x^g, g log-uniform between 1 / gammaMax and gammaMax; 1 leaves it. */
  readonly gammaMax: number;
  /**
   * Factor of half the squared norm of the probe's weights, beside the *summed* cross-entropy: so more labels count for
   * more against it. Features are standardised.
   */
  readonly probePenalty: number;
}

export interface FinetuneOptions {
  readonly modes: readonly DownstreamMode[];
  /** Seeds 1 to N: each draws its own few labels, head, batches and crops, the same for every encoder. */
  readonly seeds: number;
  /** Labels to train on, drawn by patient; null takes all. */
  readonly labels: LabelBudget | null;
  /** This class against all others; null keeps the classes as they are. */
  readonly negativeClass: string | null;
  /** Of the federation's head, in its order; images with other labels are left out. Null where it is not asked. */
  readonly releasedClasses: readonly string[] | null;
  /** Share of the patients that is kept for testing where there is no test cache. */
  readonly testFraction: number;
  /** Share of the drawn labels' patients that is kept back to stop early and choose weights by; 0 for none. */
  readonly validation: number;
  /** What makes masks of tokens. */
  readonly head: SegmentationHead;
  /** Which network to look at and to keep, of seed 1: null takes the last encoder, and the last of its modes. */
  readonly keep: { readonly from: EncoderOrigin | null; readonly mode: DownstreamMode | null };
  /** Whether a report follows, for which saliency and maps of features are made. */
  readonly report: boolean;
  readonly settings: FinetuneSettings;
}

/** The encoders to compare: `scratch` needs no weights. */
export interface EncoderSources {
  readonly scratch: boolean;
  readonly own: Checkpoint | null;
  readonly global: Checkpoint | null;
  /** Of a plan whose heads stay at the sites: this site's, which goes with `global`. */
  readonly head?: Float32Array | null;
}

/** One call of the fine-tuning thread. Folders are those of image caches; labels are beside them. */
export interface FinetuneRequest {
  readonly task: DownstreamTask;
  readonly model: Plan["model"];
  /** The grid of volumes, from a plan for volumes. */
  readonly volume?: Plan["volume"];
  readonly trainDir: string;
  /** Null splits the training cache by patient. */
  readonly testDir: string | null;
  readonly encoders: EncoderSources;
  /** Which of the caches' labels are the classes; what they have if nothing is said. */
  readonly classes?: ClassSource;
  readonly options: FinetuneOptions;
  readonly engine: EngineOptions;
}

/** A cache that is open, with its labels. */
export interface LabelledCache<Cache> {
  readonly cache: Cache;
  readonly labels: Labels;
}

export interface FinetuneProgress {
  /** Of all runs (encoder x mode x seed), from 1. */
  readonly run: number;
  readonly runs: number;
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly step: number;
  readonly steps: number;
  /** Of the last step; null in a probe of classes. */
  readonly loss: number | null;
}

export interface SetSize {
  readonly images: number;
  readonly patients: number;
}

/** One run. Intervals: bootstrap over the patients of the test set. */
export interface FinetuneRow {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly auroc: Estimate;
  readonly accuracy: Estimate;
}

/**
 * Whether the patients kept back chose a run's weights, or could not say which were good, so that it was trained to the end;
 * null where none were to be kept back, or nothing is trained.
 */
export type Choice = "chosen" | "unscored" | null;

/** What else is known of a run; for reports. Rates and counts only. */
export interface FinetuneDetail {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly labels: SetSize;
  readonly auprc: Estimate | null;
  readonly balancedAccuracy: Estimate | null;
  readonly calibrationError: Estimate | null;
  /** Rows are true classes, columns the predicted ones, in the order of `classes`. */
  readonly confusion: readonly (readonly number[])[];
  /** One curve for two classes, one against the rest for each class otherwise. */
  readonly roc: readonly { readonly class: string; readonly points: readonly RocPoint[] }[];
  /** For the same classes. */
  readonly precisionRecall: readonly {
    readonly class: string;
    readonly points: readonly PrecisionRecallPoint[];
  }[];
  readonly reliability: readonly ReliabilityBin[];
  /** Mean training loss of each tenth of the steps; empty for a probe. */
  readonly losses: readonly number[];
  readonly choice: Choice;
}

/** All seeds of one encoder and mode. */
export interface FinetuneSummary {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seeds: number;
  readonly aurocMean: number;
  readonly accuracyMean: number;
  /** Interval of the mean over the seeds. */
  readonly auroc: Estimate;
  readonly accuracy: Estimate;
  /** AUROC less that from scratch on the same test patients; null from scratch itself, or where that was not run. */
  readonly aurocGain: Estimate | null;
}

/** The first measure of one encoder less another's on the same test patients, means over seeds. */
export interface EncoderDifference {
  readonly from: EncoderOrigin;
  readonly over: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly bootstrap: Estimate | null;
  /** Of areas under ROC curves. Null where too few patients show a class, or the two never rank differently. */
  readonly delong: TestedDifference | null;
}

export interface ClassificationResult {
  readonly task: "classification";
  /** Names in the order of the class indices; of two, the second is the positive one. */
  readonly classes: readonly string[];
  /** What one seed trains on. Patients are those of the first seed. */
  readonly labels: SetSize;
  readonly test: SetSize;
  /** Whether the test images have a cache of their own. If not, the encoders may have seen them, without labels. */
  readonly testSource: "cache" | "split";
  readonly rows: readonly FinetuneRow[];
  readonly summary: readonly FinetuneSummary[];
  /** Of every two encoders, in each mode. */
  readonly differences: readonly EncoderDifference[];
  readonly details: readonly FinetuneDetail[];
}

/**
 * Measures of masks, boxes or findings by name: dice, hd95 (pixels of the original), mAP@.5, FROC, auroc, auprc, ece, and those of
 * single classes.
 */
export type Measures = Readonly<Record<string, Estimate | null>>;

/** Rates from 0 to 1 on both axes. */
export interface CurveAxes {
  readonly x: string;
  readonly y: string;
  /** A guess: as much of one as of the other, or the value of the last point everywhere. */
  readonly reference: "diagonal" | "last";
}

/** A named line of a report. */
export interface Curve {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** The class that it speaks of, and its axes; each class has a picture of its own under the curve's name. */
  readonly of?: string;
  readonly axes?: CurveAxes;
  /** Share of the images behind each point. */
  readonly weights?: readonly number[];
}

export interface MeasuredRow {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly measures: Measures;
}

export interface MeasuredDetail {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly labels: SetSize;
  readonly curves: readonly Curve[];
  /** Mean training loss of each tenth of the steps. */
  readonly losses: readonly number[];
  readonly choice: Choice;
}

/** All seeds of one encoder and mode. */
export interface MeasuredSummary {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seeds: number;
  /** Means over the seeds. */
  readonly measures: Measures;
  /** The first measure less that from scratch, on the same test patients; null where that was not run. */
  readonly gain: Estimate | null;
}

/** What came of learning masks, boxes or findings. */
export interface MeasuredResult {
  readonly task: "segmentation" | "localization" | "findings";
  readonly classes: readonly string[];
  readonly labels: SetSize;
  readonly test: SetSize;
  readonly testSource: "cache" | "split";
  /** Names of the measures that concern all classes; the first is the one to compare by. */
  readonly measures: readonly string[];
  readonly rows: readonly MeasuredRow[];
  readonly summary: readonly MeasuredSummary[];
  /** Of the first measure, of every two encoders in each mode. */
  readonly differences: readonly EncoderDifference[];
  readonly details: readonly MeasuredDetail[];
}

export type FinetuneResult = ClassificationResult | MeasuredResult;

/** What is drawn over an image or a volume, in pixels of the cached square or voxels of the cached grid. */
export type CaseShapes =
  | {
      readonly kind: "classes";
      readonly said: string;
      readonly truth: string;
      /** Of the true class. */
      readonly probability: number;
      /** What spoke for the class that was said; null after a probe, which trains no network, or without a report. */
      readonly saliency: Saliency | null;
    }
  | {
      /** The finding that was told worst. */
      readonly kind: "finding";
      readonly name: string;
      readonly probability: number;
      readonly isThere: boolean;
      /** Others that were said to be there. */
      readonly others: readonly string[];
      readonly saliency: Saliency | null;
    }
  | {
      readonly kind: "masks";
      readonly classes: readonly string[];
      /** One a class, not 0 inside. */
      readonly said: readonly Uint8Array[];
      readonly truth: readonly Uint8Array[];
    }
  | {
      readonly kind: "boxes";
      readonly classes: readonly string[];
      readonly said: readonly Detection[];
      readonly truth: readonly Target[];
    };

/** How much each patch spoke for a class (above 0) or against it. */
export interface Saliency {
  /** Patches along a side. */
  readonly grid: number;
  /** Layers of patches: 1 for images. */
  readonly layers: number;
  /** -1 to 1, layer by layer, row by row. */
  readonly values: Float32Array;
}

/** A test image to look at. For the site's own report alone. */
export interface Case {
  /** The image's pseudonym. */
  readonly image: string;
  readonly choice: "worst" | "typical";
  /** 0 to 1. */
  readonly goodness: number;
  readonly sizePx: number;
  /** Slices of a volume, from the feet up; 1 for images. */
  readonly depthPx: number;
  /** From slice to slice, in units of the distance from pixel to pixel; 1 for images. */
  readonly sliceStep: number;
  /** 8-bit grey, slice after slice, row-major. */
  readonly pixels: Uint8Array;
  readonly shapes: CaseShapes;
}

/** The run that is looked at and kept: the best-informed encoder's, first seed. Its weights hold encoder and head. */
export interface Exemplar {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly cases: readonly Case[];
  /** Null after a probe of classes, which trains no network. */
  readonly model: Checkpoint | null;
}

/** Test images as one encoder sees them before it learns a label, on the plane on which they differ most. */
export interface FeatureMap {
  readonly from: EncoderOrigin;
  /** Of the features' variance, the parts along x and y. */
  readonly shares: readonly [x: number, y: number];
  readonly points: readonly { readonly x: number; readonly y: number; readonly group: string }[];
}

/** What the fine-tuning thread hands back: numbers that may be printed, and what stays at the site. */
export interface FinetuneOutcome {
  readonly result: FinetuneResult;
  readonly exemplar: Exemplar | null;
  /** One an encoder; none without a report. */
  readonly maps: readonly FeatureMap[];
}
