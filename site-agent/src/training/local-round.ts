/** One round of local training: from the global model to this site's update. */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { inputProfile } from "@consilium/shared/input-profile";
import { drawOf } from "@consilium/shared/low-rank";
import { vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { learningRateAt } from "@consilium/shared/schedule";
import { l2Norm } from "@consilium/shared/vector";
import { cacheLayout, type CacheLayout } from "../dataset/cache-format.ts";
import { describeShape, type ImageCache } from "../dataset/types.ts";
import { MOST_LOSS } from "@consilium/shared/secagg/plan-layout";
import { holdOut } from "../dataset/held-out.ts";
import { tryModel } from "./trial.ts";
import { keptAtStart, keptWeights, trainedOf, updateOf, weightsAtSite } from "../pretext/sharing.ts";
import type { PretextStep } from "./pretext-step.ts";
import type { Resume, TrainingPoint } from "./resume.ts";
import { stepsPerRound } from "./round-batches.ts";
import { restartFactor } from "./schedule.ts";
import type { Batch, LocalRoundProgress, LocalRoundRequest, LocalRoundResult } from "./types.ts";

export interface LocalRoundSurroundings {
  readonly compiled: PretextStep;
  readonly cache: Pick<ImageCache, "records"> & CacheLayout;
  /** Of this round, in order. */
  readonly batches: Iterable<Batch> | AsyncIterable<Batch>;
  /** On which the base is tried before; see trialBatches. */
  readonly trial?: Iterable<Batch>;
  /** Milliseconds from any origin. */
  readonly now: () => number;
  /** Where an earlier run may have left off. */
  readonly resume?: Resume | null;
}

/** Saving takes no more of the time than this. */
const LARGEST_SAVING_SHARE = 0.05;

/**
 * Yields after every step; whoever stops iterating ends the training. The compiled step can be used again afterwards.
 * @throws training.no-images, training.diverged, cache.wrong-size, cache.wrong-profile, engine.run-failed
 */
export async function* trainLocally(
  request: Pick<LocalRoundRequest, "plan" | "round" | "base" | "optimizerState" | "kept" | "privacy">,
  { compiled: { task, step }, cache, batches, trial = [], now, resume = null }: LocalRoundSurroundings,
): AsyncGenerator<LocalRoundProgress, LocalRoundResult> {
  const { plan, round, base, privacy = null } = request;
  assertPaid(plan, privacy);
  assertUsable(cache, plan);
  const images = holdOut(cache, plan).trained.length;

  const moments = plan.training.optimizerState === "keep" ? request.optimizerState : null;
  const kept = keptAtStart(task, plan, request.kept ?? null);
  const atStart = weightsAtSite(task, base, { kept, draw: drawOf(plan) });
  await step.writeWeights(atStart);
  const triedAt = now();
  const heldOutLoss = await tryModel(step, trial);
  await step.writeOptimizerState(moments);
  const tried = heldOutLoss === null ? {} : { heldOutLoss };
  // After the last round the last model is tried, and nothing more. From one that is no good nothing can be learned.
  if (round > plan.rounds || heldOutLoss === MOST_LOSS) {
    const loss = heldOutLoss ?? 0;
    return {
      delta: new Float32Array(vectorLength(trainedOf(task, plan).manifest)),
      examples: images,
      metrics: { loss, finalLoss: loss, steps: 1, updateNorm: 0, trainingMs: now() - triedAt, ...tried },
      optimizerState: await step.readOptimizerState(),
      kept,
    };
  }

  const left = (await resume?.read()) ?? null;
  if (left !== null) {
    await step.writeWeights(left.weights, atStart);
    await step.writeOptimizerState(left.optimizerState);
  }

  const before = left?.losses ?? [];
  const startedAt = triedAt - (left?.elapsedMs ?? 0);
  let saveAt = now() + (resume?.everyMs ?? Infinity);
  const schedule = { ...plan.training, rounds: plan.rounds };
  const steps = privacy?.stepsPerRound ?? stepsPerRound(plan, images);
  const batchSize = privacy?.expectedExamples ?? plan.training.batchSize;
  const losses: number[] = [];
  for await (const batch of batches) {
    const done = losses.length;
    // The batches of a round follow from each other: those that were trained on are made again and passed over.
    const known = before[done];
    if (known !== undefined) {
      losses.push(known);
      continue;
    }
    // The middle of the step: the very first is not wasted on a rate of zero.
    const scheduled = learningRateAt(schedule, round, (done + 0.5) / steps);
    // In the first round the plan's own warm-up does this.
    const learningRate = moments === null && round > 1 ? scheduled * restartFactor(done) : scheduled;
    const { loss } = await step.run(batch, learningRate);
    losses.push(loss);
    const seconds = Math.max(now() - startedAt, 1e-3) / 1000;
    const imagesPerSecond = (losses.length * batchSize) / seconds;
    yield { step: done + 1, steps, loss, imagesPerSecond };
    if (resume !== null && done + 1 < steps && now() >= saveAt) {
      const savingAt = now();
      await save(resume, { losses, elapsedMs: savingAt - startedAt, step });
      saveAt = now() + Math.max(resume.everyMs, (now() - savingAt) / LARGEST_SAVING_SHARE);
    }
  }

  const all = await step.readWeights();
  const delta = updateOf(task, plan, { all, base });
  return {
    delta,
    examples: images,
    metrics: {
      loss: mean(losses),
      finalLoss: mean(losses.slice(-Math.ceil(losses.length / 4))),
      steps,
      updateNorm: l2Norm(delta),
      trainingMs: now() - startedAt,
      ...tried,
    },
    optimizerState: await step.readOptimizerState(),
    kept: keptWeights(task, all),
  };
}

async function save(
  resume: Resume,
  { step, ...so }: Pick<TrainingPoint, "losses" | "elapsedMs"> & Pick<PretextStep, "step">,
): Promise<void> {
  try {
    await resume.write({
      ...so,
      weights: await step.readWeights(),
      optimizerState: await step.readOptimizerState(),
    });
  } catch (error) {
    // A full disk takes the head start of a restart, and not the training.
    if (toConsiliumError(error).code !== "disk.full") throw error;
  }
}

/** Iterates to the end. The signal is looked at between steps; its reason is thrown. */
export async function runToEnd<Progress, Result>(
  work: AsyncGenerator<Progress, Result>,
  onProgress: (progress: Progress) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<Result> {
  for (;;) {
    signal?.throwIfAborted();
    const next = await work.next();
    if (next.done === true) return next.value;
    await onProgress(next.value);
  }
}

/**
 * @returns the number of images
 * @throws training.no-images, cache.wrong-size, cache.wrong-profile
 */
export function assertUsable(cache: LocalRoundSurroundings["cache"], plan: Plan): number {
  if (cache.records.length === 0) throw new ConsiliumError("training.no-images");
  const wanted = cacheLayout(inputProfile(plan), plan.cachePx);
  if (cache.sizePx !== wanted.sizePx || cache.depthPx !== wanted.depthPx) {
    throw new ConsiliumError("cache.wrong-size", {
      detail: `(${describeShape(cache)} instead of ${describeShape(wanted)})`,
    });
  }
  if (cache.profile !== wanted.profile) throw new ConsiliumError("cache.wrong-profile");
  return cache.records.length;
}

/** What the plan protects is never trained on without noise, by whatever mistake. */
export function assertPaid({ privacy }: Plan, terms: PrivacyTerms | null): void {
  if ((privacy.unit === "patient") !== (terms !== null))
    throw new Error("a round without the terms it was paid by");
}

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
