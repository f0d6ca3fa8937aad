/** What a round's masked vector holds, as plan, base checkpoint and cohort say; the same at all sites and the coordinator. */
import { ConsiliumError } from "../errors.ts";
import { evaluationFields, evaluationValues } from "../evaluation/extras.ts";
import { findingFields, findingValues } from "../evaluation/finding-extras.ts";
import { maskFields, maskValues } from "../evaluation/mask-extras.ts";
import { isFrozen } from "../frozen.ts";
import { healthFields, healthValues, type SiteHealth } from "../health/extras.ts";
import { patientFields, patientValues } from "../health/patients.ts";
import type { Plan } from "../plan-schema.ts";
import { withSiteNoise } from "../privacy/site-noise.ts";
import type { ContributionMetrics, RoundOpening } from "../protocol/round.ts";
import { largestLearningRate } from "../schedule.ts";
import { groupSitesOf } from "../strategy-schema.ts";
import { trainedTensor, travelsAsFactor } from "../trained-part.ts";
import type { VectorLayout } from "./layout.ts";
import { vectorLayoutSchema } from "./layout-schema.ts";
import { movementRanges, type TensorMagnitude } from "./ranges.ts";

/** What a larger loss, or none that is a number, counts as. */
export const MOST_LOSS = 256;

/** What travels beside the update; a site that exceeds a bound is counted as clipped. */
const METRIC_EXTRAS = [
  { kind: "real", name: "metric:loss", length: 1, bound: MOST_LOSS, weighted: true },
  { kind: "real", name: "metric:finalLoss", length: 1, bound: MOST_LOSS, weighted: true },
  { kind: "real", name: "metric:updateNorm", length: 1, bound: 1024, weighted: true },
  { kind: "count", name: "metric:steps", length: 1, most: 100_000 },
] as const;

/** Beside them where models are tried: a sum over the sites that hold images out, and how many these are. */
const TRIAL_EXTRAS = [
  { kind: "real", name: "metric:heldOutLoss", length: 1, bound: MOST_LOSS, weighted: false },
  { kind: "count", name: "metric:heldOutSites", length: 1, most: 1 },
] as const;

/**
 * @param sites of the cohort
 * @param magnitudes of the base checkpoint, in manifest order
 * @throws plan.invalid where such a vector has no room, for example thousands of sites on a narrow link
 */
export function roundLayout(
  plan: Plan,
  round: number,
  sites: number,
  magnitudes: readonly TensorMagnitude[],
): VectorLayout {
  const { training, aggregation, acceptance } = plan;
  const { learningRate, warmupRounds } = training;
  const steps = training.localEpochs * Math.max(1, Math.ceil(aggregation.examplesCap / training.batchSize));
  const trained = magnitudes
    .filter(({ name }) => !isFrozen(name, training.frozenBlocks))
    // A factor of low rank starts from zero.
    .map((one) =>
      travelsAsFactor(one.name, training) ? { ...trainedTensor(one, training), largest: 0 } : one,
    );
  const ranges = movementRanges(trained, {
    beta1: training.adamBeta1,
    beta2: training.adamBeta2,
    weightDecay: training.weightDecay,
    learningRateSum:
      steps *
      largestLearningRate(
        { learningRate, warmupRounds, rounds: plan.rounds },
        // In the round after the last one nobody trains, and nothing has to fit.
        Math.min(round, plan.rounds),
      ),
  });
  const { privacy } = plan;
  const isNoisy = privacy.unit === "site";
  const groupSites = groupSitesOf(aggregation.strategy);
  const parsed = vectorLayoutSchema.safeParse({
    sites,
    link: aggregation.linkBits === 32 ? "wide" : "narrow",
    // Sites that are protected count alike.
    examplesCap: isNoisy ? 1 : aggregation.examplesCap,
    ...(isNoisy ? withSiteNoise(ranges, sites, { ...plan, privacy, groupSites }) : { tensors: ranges }),
    extras: [
      ...METRIC_EXTRAS,
      ...(acceptance === null ? [] : TRIAL_EXTRAS),
      ...healthFields(plan),
      ...evaluationFields(plan),
      ...findingFields(plan),
      ...maskFields(plan),
      ...patientFields(plan),
    ],
    ...(groupSites === undefined ? {} : { groupSites }),
  });
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map(({ message }) => message).join("; ");
  throw new ConsiliumError("plan.invalid", { detail: `aggregation: ${reasons}`, culprits: ["aggregation"] });
}

/** By the names of the layout's extras. */
export function roundExtras(
  plan: Plan,
  { loss, finalLoss, updateNorm, steps, heldOutLoss }: Omit<ContributionMetrics, "trainingMs">,
  health: SiteHealth | null = null,
) {
  return {
    ...healthValues(plan, health),
    ...evaluationValues(plan, health?.scores ?? null),
    ...findingValues(plan, health?.scores ?? null),
    ...maskValues(plan, health?.overlaps ?? null),
    ...patientValues(plan, health),
    "metric:loss": [loss],
    "metric:finalLoss": [finalLoss],
    "metric:updateNorm": [updateNorm],
    "metric:steps": [steps],
    "metric:heldOutLoss": [heldOutLoss ?? 0],
    "metric:heldOutSites": [heldOutLoss === undefined ? 0 : 1],
  };
}

/**
 * What goes into another sum of a round whose first may have been opened. A look at the same model finds the same again,
 * whatever the crops, and so does its trial: in two sums that differ by one site, either would show by itself. What
 * training made is made anew; in the round after the last there is none, and its losses are the trial's.
 */
export function repeatedExtras(
  plan: Plan,
  { round }: Pick<RoundOpening, "round">,
  { loss, finalLoss, updateNorm, steps }: ContributionMetrics,
) {
  const trained = round > plan.rounds ? { loss: 0, finalLoss: 0 } : { loss, finalLoss };
  return roundExtras(plan, { ...trained, updateNorm, steps });
}
