/** The mean of the updates, weighted by images, one update after the other. */
import { weightedSums } from "./float-loops.ts";
import type { Combine } from "./update-set.ts";

/** Added up at a time, in float64: 8 MiB, where a whole vector of sums would be twice the model. */
const STRETCH_ELEMENTS = 1024 * 1024;

export const weightedMean: Combine = (updates) => meanInStretches(updates, STRETCH_ELEMENTS);

/** Has the same bits whatever `most` is: each element is added up in the order of the updates. */
export async function meanInStretches(
  { length, examples, read, readStretch }: Parameters<Combine>[0],
  most: number,
): Promise<Float32Array> {
  const mean = new Float32Array(length);
  const total = examples.reduce((sum, count) => sum + count, 0);
  const stretch = readStretch === undefined ? length : Math.min(length, most);
  const { sums, add } = weightedSums(stretch);
  for (let from = 0; from < length; from += stretch) {
    const to = Math.min(length, from + stretch);
    sums.fill(0);
    for (const [i, count] of examples.entries()) {
      const slices = to - from < length && readStretch !== undefined ? readStretch(i, { from, to }) : read(i);
      for await (const { offset, values } of slices) {
        add(offset - from, values, count / total);
      }
    }
    mean.set(sums.subarray(0, to - from), from);
  }
  return mean;
}
