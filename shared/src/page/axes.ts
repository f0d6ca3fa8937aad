/** From values to places on a chart, and round values to mark. */

export interface Scale {
  readonly from: number;
  readonly to: number;
  readonly low: number;
  readonly high: number;
}

export const scale = (from: number, to: number, low: number, high: number): Scale => ({
  from,
  to,
  low,
  high,
});

/** Tenths of a pixel are enough, and keep the file small. */
export function at({ from, to, low, high }: Scale, value: number): number {
  return Math.round((low + ((value - from) / (to - from)) * (high - low)) * 10) / 10;
}

/** The next of 1, 2, 5, 10, ... that is at least `least`. */
export function tickStep(least: number, whole: boolean): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-9)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= least) ?? least;
  return whole ? Math.max(1, Math.round(step)) : step;
}

export function ticks(from: number, to: number, step: number): readonly number[] {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}
