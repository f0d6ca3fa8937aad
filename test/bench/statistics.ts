/** How runs are summed up. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** Distance from the first to the third quartile, in per cent of the median. */
export function spreadPercent(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? NaN;
  return (100 * (at(0.75) - at(0.25))) / median(values);
}

/** The largest relative difference between two runs of losses, as far as both go. */
export function largestDifference(losses: readonly number[], reference: readonly number[]): number {
  const steps = Math.min(losses.length, reference.length);
  return Math.max(
    ...losses.slice(0, steps).map((loss, step) => Math.abs(loss / (reference[step] ?? NaN) - 1)),
  );
}
