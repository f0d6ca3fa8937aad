/** Stands between the agent and training: no round begins that the site's policy does not allow and the ledger has not paid. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { epsilonOf } from "@consilium/shared/privacy/accountant";
import { assertSmall, privacyTerms, stepsOf, type PrivacyTerms } from "@consilium/shared/privacy/terms";
import { openImageCache } from "../dataset/cache.ts";
import { openTrainingImages } from "../dataset/training-images.ts";
import { spentOn, type PrivacyLedger } from "./ledger.ts";
import type { PrivacyPolicy } from "./policy.ts";

export interface PrivacyGuard {
  /**
   * Pays for one round, before its first step.
   * @returns how to train, or null if training itself adds no noise
   * @throws privacy.budget-spent, privacy.required, privacy.delta-too-large, privacy.unreachable,
   *   privacy.ledger-broken, training.no-images
   */
  pay(round: number, attempt: number): Promise<PrivacyTerms | null>;
}

export interface GuardPorts {
  readonly ledger: PrivacyLedger;
  readonly policy: () => Promise<PrivacyPolicy>;
  readonly nowMs: () => number;
}

export interface Guarded {
  readonly plan: Plan;
  /** Name of the image cache, and its folder. */
  readonly cohort: string;
  readonly cacheDir: string;
}

export function privacyGuard(
  { ledger, policy, nowMs }: GuardPorts,
  { plan, cohort, cacheDir }: Guarded,
): PrivacyGuard {
  return {
    async pay(round, attempt) {
      const { maxEpsilon, delta, required } = await policy();
      if (plan.privacy.unit === "none") {
        if (required) throw new ConsiliumError("privacy.required");
        return null;
      }
      const terms = privacyTerms(plan, await countPatients(cacheDir, plan));
      if (terms === null) return null;
      assertSmall(delta, terms.patients);
      const spent = spentOn(cohort, await ledger.payments());
      const epsilon = epsilonOf([...spent, stepsOf(terms, 1)], delta);
      if (epsilon > maxEpsilon) {
        const before = epsilonOf(spent, delta);
        throw new ConsiliumError("privacy.budget-spent", {
          detail: `(${cohort}: epsilon ${before.toFixed(2)} of ${maxEpsilon} is spent, this round would make it ${epsilon.toFixed(2)})`,
          culprits: [cohort],
        });
      }
      const { patients, sampleRate, noiseMultiplier, clipL2Norm, stepsPerRound: steps } = terms;
      await ledger.pay({
        at: new Date(nowMs()).toISOString(),
        federation: plan.federation,
        cohort,
        round,
        attempt,
        patients,
        sampleRate,
        noiseMultiplier,
        steps,
        clipL2Norm,
        ...(plan.privacy.unit === "site" ? { unit: plan.privacy.unit } : {}),
      });
      // A whole site is protected where its update is masked.
      return plan.privacy.unit === "patient" ? terms : null;
    },
  };
}

/**
 * Of those whom the plan trains on, or all.
 * @throws training.no-images, cache.missing, labels.not-of-plan, cache.corrupt
 */
export async function countPatients(cacheDir: string, plan: Plan | null): Promise<number> {
  const images = plan === null ? await openImageCache(cacheDir) : await openTrainingImages(cacheDir, plan);
  images.close();
  const { size } = new Set(images.records.map(({ patient }) => patient));
  if (size === 0) throw new ConsiliumError("training.no-images");
  return size;
}
