/** How long to wait before the next try. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * Doubles with every failure up to 15 s, less a random part of up to a half, so that sites that lost the same
 * coordinator do not return in step.
 * @param failures from 1
 * @param random one byte
 */
export function backoffMs(failures: number, random: number): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(longest * (1 - random / 510));
}
