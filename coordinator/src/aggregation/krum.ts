/**
 * Krum and Multi-Krum (Blanchard, El Mhamdi, Guerraoui and Stainer 2017, section 4). An update's score is the sum of the
 * squared distances to its n - f - 2 nearest others; Krum takes the lowest, Multi-Krum the mean of the n - f - 2 lowest.
 * Two passes: distances, then what was chosen. Sites count alike.
 */
import { weightedMean } from "./weighted-mean.ts";
import { abreast, type Combine, type UpdateSet } from "./update-set.ts";

/** @param byzantine f: sites that may send anything */
export const krum =
  (byzantine: number): Combine =>
  async (updates) =>
    meanOf(updates, (await byScore(updates, byzantine)).slice(0, 1));

/** @param byzantine f: sites that may send anything */
export const multiKrum =
  (byzantine: number): Combine =>
  async (updates) =>
    meanOf(updates, (await byScore(updates, byzantine)).slice(0, nearest(updates, byzantine)));

/** n - f - 2 */
const nearest = ({ examples }: UpdateSet, byzantine: number): number =>
  Math.max(1, examples.length - byzantine - 2);

/** Indices of the updates, the lowest score first. */
async function byScore(updates: UpdateSet, byzantine: number): Promise<readonly number[]> {
  const distances = await squaredDistances(updates);
  const scores = distances.map((row, i) =>
    row
      .filter((_, j) => j !== i)
      .sort((a, b) => a - b)
      .slice(0, nearest(updates, byzantine))
      .reduce((sum, distance) => sum + distance, 0),
  );
  return scores
    .map((score, index) => ({ score, index }))
    .sort((a, b) => a.score - b.score || a.index - b.index)
    .map(({ index }) => index);
}

async function squaredDistances(updates: UpdateSet): Promise<number[][]> {
  const count = updates.examples.length;
  const distances = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  for await (const { rows } of abreast(updates)) {
    for (const [a, row] of rows.entries()) {
      for (let b = a + 1; b < count; b++) {
        const distance = squaredDistance(row, rows[b] ?? row);
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const of = distances[from];
          if (of !== undefined) of[to] = (of[to] ?? 0) + distance;
        }
      }
    }
  }
  return distances;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) {
    const difference = (a[j] ?? NaN) - (b[j] ?? NaN);
    sum += difference * difference;
  }
  return sum;
}

/** In the updates' own order, so that ties cannot change a bit of it. */
function meanOf(updates: UpdateSet, chosen: readonly number[]): Promise<Float32Array> {
  const ordered = chosen.toSorted((a, b) => a - b);
  const { readStretch } = updates;
  return weightedMean({
    length: updates.length,
    examples: ordered.map(() => 1),
    read: (i) => updates.read(ordered[i] ?? NaN),
    ...(readStretch && { readStretch: (i, stretch) => readStretch(ordered[i] ?? NaN, stretch) }),
  });
}
