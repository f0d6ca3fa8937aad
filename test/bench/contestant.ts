/** Everyone who runs the same training step, and how they are timed. */
import { largestDifference } from "./statistics.ts";

export interface StepTaken {
  readonly loss: number;
  readonly ms: number;
}

export interface Contestant {
  readonly name: string;
  readonly step: () => Promise<StepTaken>;
  readonly dispose: () => Promise<void>;
  /** Processor time that its own process has taken so far, where it has one. */
  readonly processMs?: () => number;
}

/** Steps before the clock counts. Their losses are compared. */
export const WARM_UP_STEPS = 3;
/** float32 sums in another order. */
export const LARGEST_LOSS_DIFFERENCE = 1e-4;

/**
 * The first steps of all, whose losses say whether they do the same work at all.
 * @returns each one's losses
 */
export async function warmUp(contestants: readonly Contestant[]): Promise<readonly number[][]> {
  const losses: number[][] = [];
  for (const contestant of contestants) {
    const own: number[] = [];
    for (let step = 0; step < WARM_UP_STEPS; step++) own.push((await contestant.step()).loss);
    losses.push(own);
  }
  return losses;
}

/** How far the losses of the others are from the first one's, relative. */
export function disagreement([first = [], ...others]: readonly number[][]): number {
  return Math.max(0, ...others.map((losses) => largestDifference(losses, first)));
}

/** @returns what `work` returns, and the wall milliseconds it took */
export async function timed<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly ms: number }> {
  const start = performance.now();
  const result = await work();
  return { result, ms: performance.now() - start };
}
