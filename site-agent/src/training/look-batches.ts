/** Which images are looked at where nothing is trained, a few at once. */

/** Images at once. */
export const LOOK_BATCH = 16;

/** At most so many of them, evenly. */
export function spread<T>(all: readonly T[], most: number): readonly T[] {
  const count = Math.min(most, all.length);
  return Array.from({ length: count }, (_, i) => Math.floor((i * all.length) / count)).flatMap((at) =>
    all.slice(at, at + 1),
  );
}

export function* lookBatches<T>(all: readonly T[]): Generator<readonly T[], void> {
  for (let start = 0; start < all.length; start += LOOK_BATCH) yield all.slice(start, start + LOOK_BATCH);
}

/** To a whole batch, with images from its beginning. */
export const filled = (chosen: readonly number[]): Int32Array =>
  Int32Array.from({ length: LOOK_BATCH }, (_, i) => chosen[i % chosen.length] ?? 0);
