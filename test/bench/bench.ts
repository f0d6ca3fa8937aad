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

/** Wall time in milliseconds of each of `repeats` calls, after `warmUp` unmeasured ones. */
export async function time(work: () => Promise<unknown>, warmUp: number, repeats: number): Promise<number[]> {
  for (let i = 0; i < warmUp; i++) await work();
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times;
}
