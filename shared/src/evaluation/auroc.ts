/**
 * AUROC of scores that nobody may see, out of how many lie in each bin: counts add up over sites, and their sum gives the
 * value of all scores together but for pairs that share a bin.
 */
import { ConsiliumError } from "../errors.ts";
import type { GlobalAuroc } from "./schema.ts";

export const SCORE_BINS = 1024;

/** How many images of a kind have a score in each bin, lowest scores first. */
export interface ScoreCounts {
  readonly positives: Float64Array;
  readonly negatives: Float64Array;
}

/** Of the normal distribution, for 95 %. */
const Z95 = 1.959964;
/** Beyond either bound. */
const TAIL = 0.025;

/**
 * Bins are of equal width in sigmoid(logit(p) / 4) = p^(1/4) / (p^(1/4) + (1 - p)^(1/4)): a network that is sure of itself
 * has most probabilities next to 0 and 1, where bins of equal width in p would not tell them apart.
 * @throws vector.not-finite unless it is a probability
 */
export function scoreBin(probability: number, bins = SCORE_BINS): number {
  if (!(probability >= 0 && probability <= 1)) {
    throw new ConsiliumError("vector.not-finite", { culprits: ["scores"] });
  }
  const [towards, against] = [probability ** 0.25, (1 - probability) ** 0.25];
  return Math.min(bins - 1, Math.floor((bins * towards) / (towards + against)));
}

/**
 * @param probabilities of the class, one an image
 * @param isPositive not 0 where the image is of the class
 * @throws vector.not-finite
 */
export function countScores(
  probabilities: ArrayLike<number>,
  isPositive: ArrayLike<number>,
  bins = SCORE_BINS,
): ScoreCounts {
  const counts = { positives: new Float64Array(bins), negatives: new Float64Array(bins) };
  for (let i = 0; i < probabilities.length; i++) {
    const bin = scoreBin(probabilities[i] ?? NaN, bins);
    const kind = isPositive[i] ? counts.positives : counts.negatives;
    kind[bin] = (kind[bin] ?? 0) + 1;
  }
  return counts;
}

/**
 * P(a positive scores higher than a negative), pairs in one bin as halves (Mann and Whitney 1947). The scores' own value is
 * within half the share of such pairs, `binError`. The interval follows from the counts as well: images of one bin have
 * the same placement (DeLong et al. 1988, equations 4 and 5). That of a perfect value, which has no spread, is the exact one of
 * a share that is all of as many trials as there are images of the rarer kind (Clopper and Pearson 1934).
 * @returns null unless there are images of both kinds
 */
export function aurocOfCounts({ positives, negatives }: ScoreCounts): GlobalAuroc["auroc"] {
  const [P, N] = [total(positives), total(negatives)];
  if (P === 0 || N === 0) return null;
  let [won, tied] = [0, 0];
  let [squaresOfPositives, squaresOfNegatives] = [0, 0];
  let [positivesBelow, negativesBelow] = [0, 0];
  for (const [bin, p] of positives.entries()) {
    const n = negatives[bin] ?? NaN;
    /** Shares of the other kind that an image of this bin beats, or is beaten by. */
    const ofPositive = (negativesBelow + n / 2) / N;
    const ofNegative = (P - positivesBelow - p / 2) / P;
    won += p * ofPositive;
    tied += p * n;
    squaresOfPositives += p * ofPositive ** 2;
    squaresOfNegatives += n * ofNegative ** 2;
    positivesBelow += p;
    negativesBelow += n;
  }
  const value = Math.min(1, won / P);
  const binError = tied / (2 * P * N);
  if (P < 2 || N < 2) return { value, low: 0, high: 1, binError };
  const spread = (squares: number, count: number): number =>
    Math.max(0, squares - count * value ** 2) / ((count - 1) * count);
  const stdError = Math.sqrt(spread(squaresOfPositives, P) + spread(squaresOfNegatives, N));
  const least = TAIL ** (1 / Math.min(P, N));
  if (value === 1) return { value, low: least, high: 1, binError };
  if (value === 0) return { value, low: 0, high: 1 - least, binError };
  const reach = Z95 * stdError + binError;
  return { value, low: Math.max(0, value - reach), high: Math.min(1, value + reach), binError };
}

export const total = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0);
