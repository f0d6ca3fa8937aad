/** How a classifier is trained where nothing else is said. */
import type { FinetuneOptions, FinetuneSettings } from "./types.ts";

export const FINETUNE_SETTINGS: FinetuneSettings = {
  epochs: null,
  usualEpochs: 40,
  minSteps: 100,
  maxSteps: 1000,
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
  probeL2: 1,
};

export const FINETUNE_OPTIONS: FinetuneOptions = {
  modes: ["probe", "finetune"],
  seeds: 2,
  labels: null,
  negativeClass: null,
  testFraction: 0.3,
  settings: FINETUNE_SETTINGS,
};
