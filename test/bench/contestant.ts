/** Everyone who runs the same training step, and how they are timed. */
import { setTimeout } from "node:timers/promises";
import { largestDifference } from "./statistics.ts";

export interface StepTaken {
  readonly loss: number;
  readonly ms: number;
}

export interface Contestant {
  readonly name: string;
  readonly step: () => Promise<StepTaken>;
  readonly dispose: () => Promise<void>;
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

/** Threads of a peer that has just worked spin for a while before they sleep. */
export const PAUSE_MS = 20;

/**
 * Wall milliseconds of each one's steps. They take turns, so that a busy machine slows all of them alike.
 * @param between measured once a turn, for example the machine's own rate
 */
export async function timeInTurns(
  contestants: readonly Contestant[],
  turns: number,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<readonly number[][]> {
  const times: number[][] = contestants.map(() => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, contestant] of contestants.entries()) {
      await setTimeout(PAUSE_MS);
      times[i]?.push((await contestant.step()).ms);
    }
    await setTimeout(PAUSE_MS);
    await between();
  }
  return times;
}

/** @returns what `work` returns, and the wall milliseconds it took */
export async function timed<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly ms: number }> {
  const start = performance.now();
  const result = await work();
  return { result, ms: performance.now() - start };
}
