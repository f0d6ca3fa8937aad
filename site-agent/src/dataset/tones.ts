/** Brightness of cached images, bent at random: two detectors, or two windows, show one patient in different greys. */
import type { Random } from "./random.ts";

const WHITE = 255;

/**
 * Each image's brightness x of 0 to 1 becomes x^g in place, g log-uniform between 1 / `most` and `most`. Black and white stay.
 * @param images uint8, `count` of them one after another
 * @param most 1 leaves the images, and draws nothing
 */
export function bendTones(images: Uint8Array, count: number, most: number, random: Random): void {
  if (most === 1) return;
  const pixels = images.length / count;
  for (let i = 0; i < count; i++) {
    const gamma = most ** (2 * random.uniform() - 1);
    const bent = Uint8Array.from({ length: WHITE + 1 }, (_, x) => Math.round(WHITE * (x / WHITE) ** gamma));
    for (let at = i * pixels; at < (i + 1) * pixels; at++) images[at] = bent[images[at] ?? 0] ?? 0;
  }
}
