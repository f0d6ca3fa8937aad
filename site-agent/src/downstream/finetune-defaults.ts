/** How a classifier is trained where nothing else is said. */
import type { FinetuneOptions, FinetuneSettings } from "./types.ts";

export const FINETUNE_SETTINGS: FinetuneSettings = {
  epochs: null,
  usualEpochs: 80,
  minSteps: 100,
  maxSteps: 1000,
  batchSize: 16,
  learningRate: 1e-3,
  warmup: 0.1,
  layerDecay: 0.75,
  weightDecay: 0.05,
  clipGlobalNorm: 1,
  labelSmoothing: 0.1,
  balanceClasses: true,
  cropMinArea: 0.5,
  cropMaxArea: 1,
  flip: true,
  probeL2: 0.1,
};

export const FINETUNE_OPTIONS: FinetuneOptions = {
  modes: ["probe", "finetune"],
  seeds: 2,
  labels: null,
  negativeClass: null,
  testFraction: 0.3,
  settings: FINETUNE_SETTINGS,
};
