/** How the learning rate begins where the optimiser starts afresh; the schedule itself is shared/src/schedule.ts. */

/** Steps over which Adam's moments find their level again after a reset. */
const RESTART_STEPS = 10;

/**
 * Factor on the learning rate where the optimiser starts each round afresh: without it the first updates would all have
 * full length, whatever the gradient.
 * @param step of the round, from 0
 */
export function restartFactor(step: number): number {
  return Math.min(1, (step + 1) / RESTART_STEPS);
}
