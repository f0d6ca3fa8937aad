/** Linear equations in float64, row-major. */

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

export const matrix = (rows: number, columns: number, values: ArrayLike<number>): Matrix => ({
  rows,
  columns,
  values: Float64Array.from(values),
});

/** a^T b */
export function transposedTimes(a: Matrix, b: Matrix): Matrix {
  const values = new Float64Array(a.columns * b.columns);
  for (let row = 0; row < a.rows; row++) {
    for (let i = 0; i < a.columns; i++) {
      const factor = a.values[row * a.columns + i] ?? 0;
      for (let k = 0; k < b.columns; k++) {
        const at = i * b.columns + k;
        values[at] = (values[at] ?? 0) + factor * (b.values[row * b.columns + k] ?? 0);
      }
    }
  }
  return { rows: a.columns, columns: b.columns, values };
}

export function transposed({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    turned[(i % columns) * rows + Math.floor(i / columns)] = values[i] ?? 0;
  }
  return { rows: columns, columns: rows, values: turned };
}

/**
 * The shortest x that comes closest to a^T x = b (Tikhonov): x = (a a^T + ridge)^-1 a b, for a of [unknowns, equations].
 * @param ridge relative to the mean diagonal
 */
export function leastSquares(a: Matrix, b: Matrix, ridge: number): Matrix {
  const wide = transposed(a); // [equations, unknowns]
  const normal = transposedTimes(wide, wide); // [unknowns, unknowns]
  const size = normal.rows;
  let trace = 0;
  for (let i = 0; i < size; i++) trace += normal.values[i * size + i] ?? 0;
  for (let i = 0; i < size; i++) {
    const at = i * size + i;
    normal.values[at] = (normal.values[at] ?? 0) + (ridge * trace) / size;
  }
  return eliminated(normal, transposedTimes(wide, b));
}

/** Gauss' elimination with pivots, in place. */
function eliminated({ rows: size, values: a }: Matrix, b: Matrix): Matrix {
  const { columns, values: x } = b;
  const at = (row: number, column: number): number => a[row * size + column] ?? 0;
  for (let pivot = 0; pivot < size; pivot++) {
    let best = pivot;
    for (let row = pivot + 1; row < size; row++) {
      if (Math.abs(at(row, pivot)) > Math.abs(at(best, pivot))) best = row;
    }
    swap(a, size, pivot, best);
    swap(x, columns, pivot, best);
    for (let row = 0; row < size; row++) {
      const factor = row === pivot ? 0 : at(row, pivot) / at(pivot, pivot);
      if (factor === 0) continue;
      for (let k = pivot; k < size; k++) a[row * size + k] = at(row, k) - factor * at(pivot, k);
      for (let k = 0; k < columns; k++) {
        x[row * columns + k] = (x[row * columns + k] ?? 0) - factor * (x[pivot * columns + k] ?? 0);
      }
    }
  }
  for (let row = 0; row < size; row++) {
    for (let k = 0; k < columns; k++) x[row * columns + k] = (x[row * columns + k] ?? 0) / at(row, row);
  }
  return b;
}

function swap(values: Float64Array, width: number, one: number, other: number): void {
  if (one === other) return;
  const kept = values.slice(one * width, (one + 1) * width);
  values.copyWithin(one * width, other * width, (other + 1) * width);
  values.set(kept, other * width);
}
