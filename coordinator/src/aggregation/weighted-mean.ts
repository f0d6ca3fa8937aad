/** The mean of the updates, weighted by images, one update after the other. */
import { addWeighted } from "./float-loops.ts";
import type { Combine } from "./update-set.ts";

export const weightedMean: Combine = async ({ length, examples, read }) => {
  const mean = new Float64Array(length);
  const total = examples.reduce((sum, count) => sum + count, 0);
  for (const [i, count] of examples.entries()) {
    const weight = count / total;
    for await (const { offset, values } of read(i)) {
      addWeighted(mean.subarray(offset, offset + values.length), values, weight);
    }
  }
  return mean;
};
