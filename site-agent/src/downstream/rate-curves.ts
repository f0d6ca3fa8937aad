/**
 * What thresholds and confidences are worth, as curves. They hold rates and counts only: no score and no image can be read from
 * them.
 */
import {
  calibrationBins,
  CALIBRATION_BINS,
  correctness,
  groupCounts,
  rankGroups,
  topProbabilities,
  type Predictions,
} from "./metrics.ts";

/** A corner of the ROC curve. */
export interface RocPoint {
  readonly falsePositiveRate: number;
  readonly truePositiveRate: number;
}

/** At one threshold. */
export interface PrecisionRecallPoint {
  readonly recall: number;
  readonly precision: number;
}

/** The images whose top probability lies in one of the bins of the calibration error. */
export interface ReliabilityBin {
  readonly images: number;
  /** Mean of their top probabilities. */
  readonly confidence: number;
  /** Share of them that are right. */
  readonly accuracy: number;
}

const MOST_POINTS = 101;

/** The ROC curve from (0, 0) to (1, 1), at most `maxPoints` corners, evenly taken. Empty without both classes. */
export function rocCurve(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  maxPoints = MOST_POINTS,
): RocPoint[] {
  const corners = [{ positives: 0, negatives: 0 }, ...thresholds(scores, positive)];
  const { positives = 0, negatives = 0 } = corners.at(-1) ?? {};
  if (positives === 0 || negatives === 0) return [];
  return evenly(corners, maxPoints).map((at) => ({
    falsePositiveRate: at.negatives / negatives,
    truePositiveRate: at.positives / positives,
  }));
}

/**
 * Precision at each recall, from the strictest threshold to all images, at most `maxPoints`, evenly taken; begins at recall 0 with
 * the first precision. Empty without positives.
 */
export function precisionRecallCurve(
  scores: ArrayLike<number>,
  positive: ArrayLike<number>,
  maxPoints = MOST_POINTS,
): PrecisionRecallPoint[] {
  const corners = thresholds(scores, positive);
  const all = corners.at(-1)?.positives ?? 0;
  if (all === 0) return [];
  const points = evenly(corners, maxPoints - 1).map(({ positives, negatives }) => ({
    recall: positives / all,
    precision: positives / (positives + negatives),
  }));
  return [{ recall: 0, precision: points[0]?.precision ?? 1 }, ...points];
}

/** Of the classes that were said, by rising confidence (Guo et al. 2017, section 2). */
export const reliability = (predictions: Predictions): ReliabilityBin[] =>
  reliabilityBins(topProbabilities(predictions), correctness(predictions));

/** Bins that hold images. @param so 1 where what was thought was so */
export function reliabilityBins(
  thought: Float64Array,
  so: ArrayLike<number>,
  bins = CALIBRATION_BINS,
): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ images: 0, confidence: 0, right: 0 }));
  for (const [i, bin] of calibrationBins(thought, bins).entries()) {
    const sum = sums[bin];
    if (sum === undefined) continue;
    sum.images += 1;
    sum.confidence += thought[i] ?? 0;
    sum.right += so[i] ?? 0;
  }
  return sums
    .filter(({ images }) => images > 0)
    .map(({ images, confidence: total, right }) => ({
      images,
      confidence: total / images,
      accuracy: right / images,
    }));
}

interface Counts {
  readonly positives: number;
  readonly negatives: number;
}

/** How many score at least as high as each threshold, the highest first. */
function thresholds(scores: ArrayLike<number>, positive: ArrayLike<number>): Counts[] {
  let positives = 0;
  let negatives = 0;
  return rankGroups(scores).map((group) => {
    const [groupPositives, groupNegatives] = groupCounts(group, positive);
    positives += groupPositives;
    negatives += groupNegatives;
    return { positives, negatives };
  });
}

/** First and last included. */
function evenly<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  return Array.from({ length: most }, (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))]).filter(
    (one) => one !== undefined,
  );
}
