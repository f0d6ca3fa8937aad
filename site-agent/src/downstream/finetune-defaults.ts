/** How networks are trained on labels where nothing else is said. */
import type { DownstreamTask, FinetuneOptions, FinetuneSettings } from "./types.ts";

/**
 * Chosen on 500 held-out radiographs of pediatric-cxr's three hospitals, never on its test set: nano encoder at 64 px after
 * 20 epochs of MAE, 46 labels, two seeds. Mean AUROC there, other settings as at the time:
 *
 *     crops down to .8 of the area .937, .7 .935, .5 .926, none .930
 *     learning rate 3e-4 .923, 5e-4 .926, 1e-3 .922; the last with layer decay .75 instead of .65 .916
 *     probe, penalty .5 .913, 5 .926, 46 .939, 138 .939, 460 .933
 *
 * Two seeds differ by about .01, so neighbouring values are as good.
 */
export const FINETUNE_SETTINGS: FinetuneSettings = {
  epochs: null,
  usualEpochs: 40,
  minSteps: 100,
  maxSteps: 600,
  batchSize: 16,
  learningRate: 5e-4,
  warmup: 0.1,
  layerDecay: 0.65,
  weightDecay: 0.05,
  clipGlobalNorm: 1,
  labelSmoothing: 0.1,
  balanceClasses: true,
  cropMinArea: 0.8,
  cropMaxArea: 1,
  flip: true,
  stretchMax: 0,
  gammaMax: 1,
  probePenalty: 40,
};

/**
 * Learning rate and head were chosen on the 227 images with masks of a third of the three hospitals' patients, trained on 20 of the
 * others, one seed, nano encoder at 64 px. Dice there after 300 steps of 16, from scratch and from the federated encoder:
 *
 *     unetr, learning rate 1e-3 .922 and .924, 3e-3 .930 and .928
 *     linear, learning rate 1e-3 .900 and .902, 3e-3 .910 and .908
 *
 * Steps, stretches, tones and crops on the 465 of two hospitals, trained on 20 of the third, which is as the encoder is used:
 *
 *     300 steps, crops from .6 .909 and -, stretched .25 .913, with gamma 1.65 as well .915
 *     900 steps .919 and .921, stretched and bent .925 and .926
 *     1500 steps, crops from .4, stretched .4, gamma 2.2 - and .931
 */
const SEGMENTATION_SETTINGS: FinetuneSettings = {
  ...FINETUNE_SETTINGS,
  minSteps: 1500,
  maxSteps: 3000,
  usualEpochs: 60,
  learningRate: 3e-3,
  layerDecay: 0.75,
  cropMinArea: 0.4,
  stretchMax: 0.4,
  gammaMax: 2.2,
};

/** On the same images, mAP@.5 after 300 steps: .996 from scratch, 1.000 from the federated encoder. */
const LOCALIZATION_SETTINGS: FinetuneSettings = {
  ...FINETUNE_SETTINGS,
  minSteps: 150,
  maxSteps: 1500,
  usualEpochs: 60,
  learningRate: 1e-3,
  layerDecay: 0.75,
  cropMinArea: 0.6,
};

export const FINETUNE_OPTIONS: FinetuneOptions = {
  modes: ["probe", "finetune"],
  seeds: 2,
  labels: null,
  negativeClass: null,
  releasedClasses: null,
  testFraction: 0.3,
  validation: 0,
  head: "unetr",
  keep: { from: null, mode: null },
  report: false,
  settings: FINETUNE_SETTINGS,
};

const SETTINGS: Readonly<Record<Exclude<DownstreamTask, "classification">, FinetuneSettings>> = {
  findings: FINETUNE_SETTINGS,
  segmentation: SEGMENTATION_SETTINGS,
  localization: LOCALIZATION_SETTINGS,
};

/**
 * Of volumes fewer fit in memory at once, a step takes longer, and crops are not stretched. Chosen by what two cores can do; there
 * were no labelled volumes to choose on.
 */
const OF_VOLUMES = { batchSize: 4, stretchMax: 0 } as const;
/** The decoder at a volume's own resolution takes a gigabyte a volume of 96 x 96 x 32 voxels. */
const MASKS_OF_VOLUMES = {
  ...OF_VOLUMES,
  batchSize: 2,
  minSteps: 400,
  maxSteps: 1500,
  learningRate: 2e-3,
} as const;

/** @param dimensions of the plan's model */
export function finetuneOptions(task: DownstreamTask, dimensions: 2 | 3 = 2): FinetuneOptions {
  const usual = task === "classification" ? FINETUNE_SETTINGS : SETTINGS[task];
  const ofVolumes = task === "segmentation" ? MASKS_OF_VOLUMES : OF_VOLUMES;
  const settings = dimensions === 2 ? usual : { ...usual, ...ofVolumes };
  const modes = task === "classification" ? FINETUNE_OPTIONS.modes : (["finetune"] as const);
  return { ...FINETUNE_OPTIONS, modes, settings };
}
