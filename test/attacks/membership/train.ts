/** One site that trains by itself, with a site's own local rounds: what it gives out is what it learned of its patients. */
import type { Plan } from "@consilium/shared/plan";
import { SecureRandom } from "@consilium/shared/privacy/secure-random";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import type { CachedImages } from "../../../site-agent/src/dataset/cache.ts";
import type { Engine, OptimizerState } from "../../../site-agent/src/engine/types.ts";
import type { VitConfig } from "../../../site-agent/src/model/sizes.ts";
import { sharedWeights } from "../../../site-agent/src/pretext/sharing.ts";
import { runToEnd, trainLocally } from "../../../site-agent/src/training/local-round.ts";
import { compilePretextStep } from "../../../site-agent/src/training/pretext-step.ts";
import { privateBatches } from "../../../site-agent/src/training/private-batches.ts";
import { compilePrivateStep } from "../../../site-agent/src/training/private-step.ts";
import type { LocalRoundResult } from "../../../site-agent/src/training/types.ts";
import { roundBatches } from "../../../site-agent/src/training/round-batches.ts";

export interface Training {
  readonly plan: Plan;
  readonly cache: CachedImages;
  /** Of a plan that protects patients. */
  readonly privacy: PrivacyTerms | null;
  /** Decides everything, the noise as well: an experiment is repeated, a private round never is. */
  readonly seed: number;
  readonly encoder: VitConfig;
}

/** @returns the model after the plan's last round, flat, in manifest order */
export async function trainAlone(
  engine: Engine,
  { plan, cache, privacy, seed, encoder }: Training,
): Promise<Float32Array> {
  const secure = new SecureRandom(new Uint8Array(32).fill(seed));
  const noise = (out: Float32Array, stdDev: number): void => {
    secure.fillNormal(out, stdDev);
  };
  const compiled =
    privacy === null
      ? await compilePretextStep(engine, plan, {}, encoder)
      : await compilePrivateStep(engine, plan, privacy, noise, encoder);
  try {
    const { task } = compiled;
    let base = sharedWeights(task, task.initialWeights(plan.seed));
    let optimizerState: OptimizerState | null = null;
    for (let round = 1; round <= plan.rounds; round++) {
      const batches =
        privacy === null
          ? roundBatches({ plan, round, seed }, task, cache)
          : privateBatches(plan, privacy, task, cache, secure);
      const result: LocalRoundResult = await runToEnd(
        trainLocally(
          { plan, round, base, optimizerState, privacy },
          { compiled, cache, batches, now: () => performance.now() },
        ),
        () => undefined,
      );
      const { delta } = result;
      base = base.map((value, i) => value + (delta[i] ?? 0));
      ({ optimizerState } = result);
    }
    return base;
  } finally {
    await compiled.step.dispose();
  }
}
