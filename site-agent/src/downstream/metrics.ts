/**
 * How good a classifier is. Every measure is a statistic of image weights, so that the bootstrap can call it a thousand
 * times with the counts of one resample: whatever does not depend on the weights is computed once.
 */

/** A measure under image weights (all 1 if left out). Null where it is undefined, for example with one class only. */
export type Statistic = (weights?: ArrayLike<number>) => number | null;

/** Class probabilities of a set of images and what the images are. */
export interface Predictions {
  readonly classes: number;
  /** [N, classes], rows sum to 1. */
  readonly probabilities: ArrayLike<number>;
  /** Class index of each image. */
  readonly truth: ArrayLike<number>;
}

/** Area under the ROC curve: P(score of a positive > score of a negative) + P(equal) / 2 (Mann and Whitney 1947). */
export function auroc(scores: ArrayLike<number>, positive: ArrayLike<number>): Statistic {
  const groups = rankGroups(scores);
  return (weights) => {
    let positives = 0;
    let negatives = 0;
    let won = 0; // pairs in which the positive scores higher, ties as halves
    for (const group of groups) {
      const [groupPositives, groupNegatives] = groupCounts(group, positive, weights);
      // Groups come in falling order: every positive so far beats these negatives.
      won += groupNegatives * (positives + groupPositives / 2);
      positives += groupPositives;
      negatives += groupNegatives;
    }
    return positives > 0 && negatives > 0 ? won / (positives * negatives) : null;
  };
}

/** Area under the precision-recall curve as average precision: sum of (recall step) x precision, without interpolation. */
export function auprc(scores: ArrayLike<number>, positive: ArrayLike<number>): Statistic {
  const groups = rankGroups(scores);
  return (weights) => {
    let positives = 0;
    let negatives = 0;
    let area = 0;
    for (const group of groups) {
      const [groupPositives, groupNegatives] = groupCounts(group, positive, weights);
      positives += groupPositives;
      negatives += groupNegatives;
      if (groupPositives > 0) area += (groupPositives * positives) / (positives + negatives);
    }
    return positives > 0 ? area / positives : null;
  };
}

/** The second class of two; each of several against the rest. */
export function oneAgainstRest({
  classes,
  probabilities,
  truth,
}: Predictions): { readonly class: number; readonly scores: Float64Array; readonly positive: Uint8Array }[] {
  const members = classes === 2 ? [1] : Array.from({ length: classes }, (_, c) => c);
  return members.map((c) => ({
    class: c,
    scores: column(probabilities, classes, c),
    positive: Uint8Array.from(truth, (t) => Number(t === c)),
  }));
}

/** `measure` of the second class's score for two classes; its mean over one-against-rest for more (macro average). */
export function overClasses(
  measure: (scores: ArrayLike<number>, positive: ArrayLike<number>) => Statistic,
  predictions: Predictions,
): Statistic {
  const statistics = oneAgainstRest(predictions).map(({ scores, positive }) => measure(scores, positive));
  return (weights) => {
    const values = statistics.map((statistic) => statistic(weights)).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
}

/** Share of images whose most probable class is the true one; for two classes the same as a threshold of one half. */
export function accuracy(predictions: Predictions): Statistic {
  const correct = correctness(predictions);
  return (weights) => {
    let hits = 0;
    let total = 0;
    for (let i = 0; i < correct.length; i++) {
      const weight = weights?.[i] ?? 1;
      total += weight;
      hits += weight * (correct[i] ?? 0);
    }
    return total > 0 ? hits / total : null;
  };
}

/** Mean over the classes present of the share found: insensitive to how common each class is. */
export function balancedAccuracy(predictions: Predictions): Statistic {
  const { classes, truth } = predictions;
  const correct = correctness(predictions);
  return (weights) => {
    const hits = new Float64Array(classes);
    const totals = new Float64Array(classes);
    for (let i = 0; i < correct.length; i++) {
      const weight = weights?.[i] ?? 1;
      const c = truth[i] ?? 0;
      totals[c] = (totals[c] ?? 0) + weight;
      hits[c] = (hits[c] ?? 0) + weight * (correct[i] ?? 0);
    }
    let sum = 0;
    let present = 0;
    for (let c = 0; c < classes; c++) {
      const total = totals[c] ?? 0;
      if (total === 0) continue;
      sum += (hits[c] ?? 0) / total;
      present += 1;
    }
    return present > 0 ? sum / present : null;
  };
}

export const CALIBRATION_BINS = 15;

/** The bin of equal width that each probability falls into. */
export const calibrationBins = (confidence: Float64Array, bins: number): Float64Array =>
  confidence.map((p) => Math.min(bins - 1, Math.floor(p * bins)));

/** Expected calibration error over equal-width bins of the top probability (Guo et al. 2017, equation 3). */
export function expectedCalibrationError(predictions: Predictions, bins = CALIBRATION_BINS): Statistic {
  return calibrationError(topProbabilities(predictions), correctness(predictions), bins);
}

/** How far what was thought is from what was so, weighted over bins. @param so 1 where it was so */
export function calibrationError(
  thought: Float64Array,
  so: ArrayLike<number>,
  bins = CALIBRATION_BINS,
): Statistic {
  const binOf = calibrationBins(thought, bins);
  return (weights) => {
    const gaps = new Float64Array(bins); // sum of weight x (so - thought)
    let total = 0;
    for (let i = 0; i < thought.length; i++) {
      const weight = weights?.[i] ?? 1;
      const bin = binOf[i] ?? 0;
      total += weight;
      gaps[bin] = (gaps[bin] ?? 0) + weight * ((so[i] ?? 0) - (thought[i] ?? 0));
    }
    return total > 0 ? gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / total : null;
  };
}

/** Rows are true classes, columns the most probable ones. */
export function confusionMatrix({ classes, probabilities, truth }: Predictions): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const predicted = argMax(probabilities, classes);
  for (let i = 0; i < truth.length; i++) {
    const row = counts[truth[i] ?? -1];
    const c = predicted[i] ?? 0;
    if (row) row[c] = (row[c] ?? 0) + 1;
  }
  return counts;
}

/** Column `c` of a row-major [N, columns] matrix. */
export function column(matrix: ArrayLike<number>, columns: number, c: number): Float64Array {
  return Float64Array.from({ length: matrix.length / columns }, (_, i) => matrix[i * columns + c] ?? NaN);
}

/** Images of equal score together, highest score first. */
export function rankGroups(scores: ArrayLike<number>): Int32Array[] {
  const order = Int32Array.from({ length: scores.length }, (_, i) => i);
  order.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
  const groups: Int32Array[] = [];
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && scores[order[end] ?? 0] === scores[order[start] ?? 0]) end += 1;
    groups.push(order.subarray(start, end));
    start = end;
  }
  return groups;
}

/** Under image weights. */
export function groupCounts(
  group: Int32Array,
  positive: ArrayLike<number>,
  weights?: ArrayLike<number>,
): [positives: number, negatives: number] {
  let positives = 0;
  let negatives = 0;
  for (const i of group) {
    const weight = weights?.[i] ?? 1;
    if (positive[i]) positives += weight;
    else negatives += weight;
  }
  return [positives, negatives];
}

function argMax(matrix: ArrayLike<number>, columns: number): Int32Array {
  return Int32Array.from({ length: matrix.length / columns }, (_, i) => {
    let best = 0;
    for (let c = 1; c < columns; c++) {
      if ((matrix[i * columns + c] ?? 0) > (matrix[i * columns + best] ?? 0)) best = c;
    }
    return best;
  });
}

/** 1 for each image whose most probable class is the true one. */
export function correctness({ classes, probabilities, truth }: Predictions): Uint8Array {
  return Uint8Array.from(argMax(probabilities, classes), (predicted, i) => Number(predicted === truth[i]));
}

export function topProbabilities({ classes, probabilities }: Predictions): Float64Array {
  return Float64Array.from(
    argMax(probabilities, classes),
    (top, i) => probabilities[i * classes + top] ?? NaN,
  );
}
