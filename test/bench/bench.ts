/** What a benchmark is, and how its figures are summed up. */

export interface Figure {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
}

export interface Target {
  readonly name: string;
  readonly value: number;
  readonly target: string;
  readonly ok: boolean;
}

export interface Findings {
  readonly results: readonly Figure[];
  readonly targets: readonly Target[];
}

export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  /** @param log says what is being measured; not part of the result */
  readonly run: (log: (line: string) => void) => Promise<Findings>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/**
 * Wall time in milliseconds of each call. The works take turns, so that a busy machine slows all of them alike.
 * @returns for each work its times, warm-up left out
 */
export async function timeInTurns(
  works: readonly (() => Promise<unknown>)[],
  warmUp: number,
  repeats: number,
): Promise<number[][]> {
  const times: number[][] = works.map(() => []);
  for (let turn = 0; turn < warmUp + repeats; turn++) {
    for (const [i, work] of works.entries()) {
      const start = performance.now();
      await work();
      if (turn >= warmUp) times[i]?.push(performance.now() - start);
    }
  }
  return times;
}
