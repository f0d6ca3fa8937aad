/**
 * Membership inference: who was in the training, told from the model (Yeom et al. 2018: a loss below the others' is a member's;
 * Watson et al. 2021: below what a model of the attacker's own would have). The attacker has the trained weights, which every site
 * gets, and the image in question.
 *
 * Training is made to leak: few patients, many epochs, no crops.
 */
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { privacyTerms } from "@consilium/shared/privacy/terms";
import type { CachedImages } from "../../../site-agent/src/dataset/cache.ts";
import type { Engine } from "../../../site-agent/src/engine/types.ts";
import type { VitConfig } from "../../../site-agent/src/model/sizes.ts";
import { pretextTask } from "../../../site-agent/src/pretext/index.ts";
import { draw, subset } from "./images.ts";
import { openLossMeter } from "./losses.ts";
import { allowedBy, separation, type Allowed, type Separation } from "./scores.ts";
import { trainAlone } from "./train.ts";

export interface Setting {
  readonly rounds: number;
  readonly localEpochs: number;
  readonly batchSize: number;
  /** Masks over which an image's loss is averaged. */
  readonly masks: number;
  /** Trained with noise for each of these, beside once without. */
  readonly epsilons: readonly number[];
  /** Of the patients, those with whom the attacker trains a model for comparison; 0 for none. */
  readonly attackersShare: number;
  /** Of the others, those in the training. */
  readonly memberShare: number;
}

/** For a test. */
export const QUICK: Setting = {
  rounds: 4,
  localEpochs: 100,
  batchSize: 12,
  masks: 8,
  epsilons: [1],
  attackersShare: 0,
  memberShare: 3 / 16,
};
export const QUICK_PATIENTS = 128;

export const ENCODER: VitConfig = { imagePx: 32, patchPx: 8, channels: 1, width: 64, depth: 2, heads: 2 };
const DELTA = 1e-5;
const SEED = 5;

export interface Exposure {
  /** For example "without noise". */
  readonly what: string;
  /** By the loss alone. */
  readonly byLoss: Separation;
  /** By the loss minus that of the attacker's own model, where it has one. */
  readonly byReference: Separation | null;
  /** Mean loss of those in the training, and of the others. */
  readonly memberLoss: number;
  readonly otherLoss: number;
  /** With noise, what epsilon lets anybody tell. */
  readonly allowed: Allowed | null;
}

export interface Membership {
  readonly members: number;
  readonly others: number;
  readonly exposures: readonly Exposure[];
}

/** @param log says what is going on */
export async function membership(
  engine: Engine,
  cache: CachedImages,
  setting: Setting,
  log: (line: string) => void = () => undefined,
): Promise<Membership> {
  const { memberShare, attackersShare, masks, epsilons } = setting;
  const patients = cache.records.length;
  const { members, others, attackers } = draw(patients, memberShare, attackersShare, SEED);
  const judged = [...members, ...others];
  const isMember = Uint8Array.from(judged, (_, i) => Number(i < members.length));
  const plain = planOf(cache, setting, null);
  const meter = await openLossMeter(engine, plain, ENCODER, subset(cache, judged), masks);
  const train = (plan: Plan, trained: readonly number[], seed: number): Promise<Float32Array> =>
    trainAlone(engine, {
      plan,
      cache: subset(cache, trained),
      // Of the number that is expected: the number of those drawn is secret.
      privacy: privacyTerms(plan, Math.round(patients * (1 - attackersShare) * memberShare)),
      seed,
      encoder: ENCODER,
    });
  try {
    let reference: Float64Array | null = null;
    if (attackers.length > 0) {
      log(`the attacker's model, on ${attackers.length} patients`);
      reference = await meter.measure(await train(plain, attackers, SEED + 1));
    }
    const exposureOf = async (
      what: string,
      weights: Float32Array,
      allowed: Allowed | null = null,
    ): Promise<Exposure> => {
      const losses = await meter.measure(weights);
      return {
        what,
        byLoss: separation(
          losses.map((loss) => -loss),
          isMember,
        ),
        byReference:
          reference &&
          separation(
            losses.map((loss, i) => (reference[i] ?? NaN) - loss),
            isMember,
          ),
        memberLoss: mean(losses.subarray(0, members.length)),
        otherLoss: mean(losses.subarray(members.length)),
        allowed,
      };
    };
    const exposures = [
      await exposureOf("before training", pretextTask(plain, ENCODER).initialWeights(plain.seed)),
    ];
    log(`without noise, on ${members.length} of ${judged.length} patients`);
    exposures.push(await exposureOf("without noise", await train(plain, members, SEED)));
    for (const epsilon of epsilons) {
      log(`with noise for epsilon ${epsilon}`);
      const weights = await train(planOf(cache, setting, epsilon), members, SEED);
      exposures.push(await exposureOf(`epsilon ${epsilon}`, weights, allowedBy(epsilon, DELTA)));
    }
    return { members: members.length, others: others.length, exposures };
  } finally {
    await meter.dispose();
  }
}

/** The plan of the one site; `ENCODER` stands in for the model's size. */
function planOf({ sizePx }: CachedImages, setting: Setting, epsilon: number | null): Plan {
  const { rounds, localEpochs, batchSize } = setting;
  return parsePlan({
    federation: "membership",
    title: "Membership inference",
    rounds,
    cachePx: sizePx,
    model: { imagePx: ENCODER.imagePx, patchPx: ENCODER.patchPx },
    pretext: {
      task: "mae",
      maskRatio: 0.5,
      decoder: { width: 64, depth: 1, heads: 2 },
      cropMinArea: 1,
      flip: false,
    },
    training: { batchSize, localEpochs, learningRate: 3e-3, warmupRounds: 0.1, weightDecay: 0 },
    privacy: epsilon === null ? { unit: "none" } : { unit: "patient", targetEpsilon: epsilon, delta: DELTA },
    health: null,
  });
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
