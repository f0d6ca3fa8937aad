/**
 * What a round feeds its steps with where patients are protected. Each patient is in a batch with the same probability,
 * independently of all others (Poisson sampling), by one image chosen at random: the unit of privacy is the patient,
 * however many images there are.
 *
 * Who is in a batch and how images are cropped and masked must be unknown outside: it comes from secure randomness, not
 * from the plan's seed, and no two runs are alike.
 */
import type { Plan } from "@consilium/shared/plan";
import { SecureRandom } from "@consilium/shared/privacy/secure-random";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { readImages } from "../dataset/batches.ts";
import { Random } from "../dataset/random.ts";
import type { TrainingImages } from "../dataset/training-images.ts";
import type { ImageCache } from "../dataset/types.ts";
import { EXAMPLE_WEIGHT } from "../engine/program.ts";
import type { PretextTask } from "../pretext/types.ts";
import type { Batch } from "./types.ts";

/** A batch has a random size: computed in parts of a quarter of the expected one, it seldom leaves much of one empty. */
export const PARTS = 4;

/** Examples that are computed at once. */
export const partExamples = (
  { training }: Pick<Plan, "training">,
  { expectedExamples }: PrivacyTerms,
): number => Math.max(1, Math.min(training.batchSize, Math.ceil(expectedExamples / PARTS)));

/**
 * A batch for each step of a round, in whole parts: what fills one up is marked in `EXAMPLE_WEIGHT` and does not count.
 * @throws cache.corrupt
 */
export function* privateBatches(
  plan: Plan,
  terms: PrivacyTerms,
  task: Pick<PretextTask, "prepare">,
  cache: TrainingImages,
  secure = new SecureRandom(),
): Generator<Batch, void> {
  const part = partExamples(plan, terms);
  const patients = imagesByPatient(cache);
  const random = new Random(...Array.from({ length: 8 }, () => secure.uint32()));
  for (let step = 0; step < terms.stepsPerRound; step++) {
    const drawn = drawImages(patients, terms.sampleRate, secure);
    const length = Math.max(1, Math.ceil(drawn.length / part)) * part;
    const indices = Int32Array.from({ length }, (_, i) => drawn[i % Math.max(1, drawn.length)] ?? 0);
    const counts = Float32Array.from({ length }, (_, i) => (i < drawn.length ? 1 : 0));
    yield {
      ...task.prepare(readImages(cache, indices, plan.model.channels), random, cache.answers?.(indices)),
      [EXAMPLE_WEIGHT]: counts,
    };
  }
}

/** Places in the cache, patient by patient. */
export function imagesByPatient({ records }: Pick<ImageCache, "records">): readonly (readonly number[])[] {
  const patients = new Map<string, number[]>();
  for (const [index, { patient }] of records.entries()) {
    const images = patients.get(patient);
    if (images === undefined) patients.set(patient, [index]);
    else images.push(index);
  }
  return [...patients.values()];
}

/** One image of each patient who is drawn. */
export const drawImages = (
  patients: readonly (readonly number[])[],
  sampleRate: number,
  secure: SecureRandom,
): readonly number[] =>
  patients
    .filter(() => secure.uniform() < sampleRate)
    .map((images) => images[secure.below(images.length)] ?? 0);
