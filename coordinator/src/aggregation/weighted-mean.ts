/** The mean of the updates, weighted by images, one update after the other. */
import type { Combine } from "./update-set.ts";

export const weightedMean: Combine = async ({ length, examples, read }) => {
  const mean = new Float64Array(length);
  const total = examples.reduce((sum, count) => sum + count, 0);
  for (const [i, count] of examples.entries()) {
    const weight = count / total;
    for await (const { offset, values } of read(i)) {
      for (let j = 0; j < values.length; j++) {
        mean[offset + j] = (mean[offset + j] ?? NaN) + weight * (values[j] ?? NaN);
      }
    }
  }
  return mean;
};
