/**
 * Median and trimmed mean of each weight by itself (Yin, Chen, Ramchandran and Bartlett 2018, definitions 1 and 2). Sites
 * count alike: how many images one says it has is as little to be believed as its update.
 */
import { abreast, type Combine } from "./update-set.ts";

export const median: Combine = (updates) =>
  ofEachWeight(updates, (sorted) => {
    const middle = sorted.length >> 1;
    const upper = sorted[middle] ?? NaN;
    return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
  });

/** @param trim share that is left out at either end, rounded down to whole sites */
export const trimmedMean =
  (trim: number): Combine =>
  (updates) => {
    const sites = updates.examples.length;
    const dropped = Math.floor(trim * sites);
    return ofEachWeight(updates, (sorted) => {
      let sum = 0;
      for (let i = dropped; i < sites - dropped; i++) sum += sorted[i] ?? NaN;
      return sum / (sites - 2 * dropped);
    });
  };

async function ofEachWeight(
  updates: Parameters<Combine>[0],
  centre: (sorted: Float64Array) => number,
): Promise<Float32Array> {
  const result = new Float32Array(updates.length);
  const column = new Float64Array(updates.examples.length);
  for await (const { offset, rows } of abreast(updates)) {
    const length = rows[0]?.length ?? 0;
    for (let j = 0; j < length; j++) {
      fillSorted(column, rows, j);
      result[offset + j] = centre(column);
    }
  }
  return result;
}

/** From here on sorting by insertion costs more than it saves. */
const FEW = 48;

/** Column `j` of the rows, ascending. */
function fillSorted(column: Float64Array, rows: readonly Float32Array[], j: number): void {
  const count = rows.length;
  if (count > FEW) {
    for (let i = 0; i < count; i++) column[i] = rows[i]?.[j] ?? NaN;
    column.sort();
    return;
  }
  for (let i = 0; i < count; i++) {
    const value = rows[i]?.[j] ?? NaN;
    let at = i;
    for (; at > 0 && (column[at - 1] ?? NaN) > value; at--) column[at] = column[at - 1] ?? NaN;
    column[at] = value;
  }
}
