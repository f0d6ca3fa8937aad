/** Local training of one round, as the federation side sees it. It runs in a worker thread. */
import type { Checkpoint } from "@consilium/shared/codec";
import type { SiteHealth } from "@consilium/shared/health/extras";
import type { Plan } from "@consilium/shared/plan";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import type { ContributionMetrics } from "@consilium/shared/protocol/round";
import type { Pause } from "./pause.ts";
import type { EngineOptions, InputArrays, InputSpecs, OptimizerState, StepOptions } from "../engine/types.ts";

/** The arrays of one step. */
export type Batch = InputArrays<InputSpecs>;

/** Where and how a site trains: its own choice, for what a step computes stays the same. */
export interface TrainingEngine extends EngineOptions, Pick<StepOptions, "microBatches" | "recompute"> {
  /** Devices that share every batch: GPUs, or groups of the CPU's threads. 1 unless given. */
  readonly devices?: number;
}

export interface LocalRoundRequest {
  readonly plan: Plan;
  /** Folder of the image cache. */
  readonly cacheDir: string;
  readonly round: number;
  /** The global model's values, in manifest order. */
  readonly base: Float32Array;
  /** Moments kept from this site's last round, or null. */
  readonly optimizerState: OptimizerState | null;
  /** Weights that the task keeps at the site, as its last round left them; null or absent: as all sites begin with them. */
  readonly kept?: Float32Array | null;
  /** Site-specific seed of crops, masks and batch order. */
  readonly seed: number;
  readonly engine: TrainingEngine;
  /** What the ledger has paid for; needed where the plan's privacy is. */
  readonly privacy?: PrivacyTerms | null;
  /** File in which an unfinished training is kept, to go on from; where patients are protected it is not used. */
  readonly resumeFile?: string | null;
}

export interface LocalRoundProgress {
  readonly step: number;
  readonly steps: number;
  /** Of the last step. */
  readonly loss: number;
  readonly imagesPerSecond: number;
}

export interface LocalRoundResult {
  /** Trained weights minus base, in manifest order, without those that the plan freezes. */
  readonly delta: Float32Array;
  readonly examples: number;
  readonly metrics: ContributionMetrics;
  readonly optimizerState: OptimizerState;
  /** Weights that the task keeps at the site; empty or absent where there are none. */
  readonly kept?: Float32Array;
  /** What the trained encoder's features are like, where the plan looks. */
  readonly health?: SiteHealth | null;
}

export interface Genesis extends Checkpoint {
  /** What was made of the file that the plan starts from, a line each; for people. */
  readonly changes: readonly string[];
}

/** The port through which the agent trains; the real one is a worker. */
export interface Trainer {
  /**
   * Layout and initial values that every site derives alike from the plan, and from the file that it starts from.
   * @throws start.missing, start.unfit, hash.mismatch, weights.*, frame.*, plan.invalid
   */
  genesis(plan: Plan, start: Uint8Array | null): Promise<Genesis>;
  /** Images of the cache that the plan trains on. @throws cache.missing, labels.not-of-plan */
  countImages(plan: Plan, cacheDir: string): Promise<number>;
  /**
   * @param signal ends the training early, at a step's border
   * @param pause lets it rest there
   * @throws training.no-images, labels.not-of-plan, training.diverged, engine.*; AbortError when `signal` fires
   */
  train(
    request: LocalRoundRequest,
    onProgress: (progress: LocalRoundProgress) => void,
    signal: AbortSignal,
    pause?: Pause,
  ): Promise<LocalRoundResult>;
  close(): Promise<void>;
}
