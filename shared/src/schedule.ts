/** Learning rate. It follows the federation's progress, so all sites are at the same point whatever their size. */

export interface Schedule {
  /** The peak. */
  readonly learningRate: number;
  readonly warmupRounds: number;
  readonly rounds: number;
}

/**
 * Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, without restarts).
 * @param round from 1
 * @param fraction of the round's local steps, 0 to 1
 */
export function learningRateAt(
  { learningRate, warmupRounds, rounds }: Schedule,
  round: number,
  fraction: number,
): number {
  const done = round - 1 + fraction;
  if (done < warmupRounds) return (learningRate * done) / warmupRounds;
  if (rounds === warmupRounds) return learningRate;
  const progress = Math.min(1, (done - warmupRounds) / (rounds - warmupRounds));
  return (learningRate * (1 + Math.cos(Math.PI * progress))) / 2;
}

/** Upper bound of the learning rate in a round. */
export function largestLearningRate(schedule: Schedule, round: number): number {
  const peakAt = Math.min(1, Math.max(0, schedule.warmupRounds - (round - 1)));
  return Math.max(...[0, peakAt, 1].map((fraction) => learningRateAt(schedule, round, fraction)));
}
