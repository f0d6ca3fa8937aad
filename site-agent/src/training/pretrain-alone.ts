/** The same rounds on one site's images only: the "own encoder" that the federation is compared with. */
import type { Checkpoint } from "@consilium/shared/codec";
import { drawOf } from "@consilium/shared/low-rank";
import type { Plan } from "@consilium/shared/plan";
import { applyUpdate, trainedPart } from "@consilium/shared/trained-part";
import type { OptimizerState } from "../engine/types.ts";
import type { LocalRoundProgress, LocalRoundRequest, Trainer } from "./types.ts";

export interface AloneProgress extends LocalRoundProgress {
  readonly round: number;
  readonly rounds: number;
}

export interface AloneRequest extends Pick<LocalRoundRequest, "cacheDir" | "seed" | "engine"> {
  /** `rounds` of it may be shortened; the schedule follows. */
  readonly plan: Plan;
  /** The file that the plan starts from, where it names one. */
  readonly start: Uint8Array | null;
}

export interface AloneResult extends Checkpoint {
  /** Mean pretext loss of each round. */
  readonly losses: readonly number[];
}

/** @throws start.*, training.no-images, training.diverged, engine.*; the signal's reason at a step's border */
export async function pretrainAlone(
  trainer: Pick<Trainer, "genesis" | "train">,
  { plan, start, cacheDir, seed, engine }: AloneRequest,
  onProgress: (progress: AloneProgress) => void,
  signal: AbortSignal,
): Promise<AloneResult> {
  const { manifest, values } = await trainer.genesis(plan, start);
  const part = trainedPart(manifest, plan.training);
  let optimizerState: OptimizerState | null = null;
  let kept: Float32Array | null = null;
  const losses: number[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    const trained = await trainer.train(
      { plan, cacheDir, round, base: values, optimizerState, kept, seed, engine },
      (progress) => {
        onProgress({ ...progress, round, rounds: plan.rounds });
      },
      signal,
    );
    applyUpdate(values, trained.delta, part, drawOf(plan));
    optimizerState = trained.optimizerState;
    kept = trained.kept ?? null;
    losses.push(trained.metrics.loss);
  }
  return { manifest, values, losses };
}

/** The plan without noise: what is trained alone stays at the site, and nothing is spent. */
export const withoutPrivacy = (plan: Plan): Plan => ({ ...plan, privacy: { unit: "none" } });

/** The plan with another number of rounds, for a shorter run. */
export function withRounds(plan: Plan, rounds: number): Plan {
  return {
    ...plan,
    rounds,
    training: { ...plan.training, warmupRounds: Math.min(plan.training.warmupRounds, rounds) },
  };
}
