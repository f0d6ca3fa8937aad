/**
 * Eigenvalues of a symmetric matrix: Householder's reduction to three diagonals, then the implicit QL algorithm (Golub and
 * Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3), without eigenvectors. About 4/3 n^3 multiplications.
 */

/** QL needs two or three passes for each eigenvalue. */
const MAX_PASSES = 60;

/**
 * @param matrix [n, n], row by row; only its lower triangle is read
 * @returns ascending
 * @throws RangeError where numbers are not finite
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  if (!matrix.every(Number.isFinite)) throw new RangeError("eigenvalues of numbers that are not finite");
  const { diagonal, beside } = tridiagonal(matrix.slice(), n);
  for (let l = 0; l < n; l++) isolate(diagonal, beside, l);
  return diagonal.sort();
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Between place i and i + 1; the last is 0. */
  readonly beside: Float64Array;
}

/** Writes over `a`. */
function tridiagonal(a: Float64Array, n: number): Tridiagonal {
  const at = (i: number, j: number): number => a[i * n + j] ?? NaN;
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  for (let i = n - 1; i > 0; i--) {
    // Reflects row i onto its last element but the diagonal.
    const v = a.slice(i * n, i * n + i);
    const scale = v.reduce((sum, x) => sum + Math.abs(x), 0);
    if (scale === 0 || i === 1) {
      beside[i - 1] = at(i, i - 1);
      diagonal[i] = at(i, i);
      continue;
    }
    // The reflection does not depend on the length of v; squares of tiny numbers would vanish.
    for (const [k, x] of v.entries()) v[k] = x / scale;
    const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
    const last = v[i - 1] ?? NaN;
    const to = last > 0 ? -norm : norm;
    beside[i - 1] = to * scale;
    diagonal[i] = at(i, i);
    v[i - 1] = last - to;
    const half = v.reduce((sum, x) => sum + x * x, 0) / 2;
    // p = A v / half, q = p - (v . p / 2 half) v, A <- A - v q' - q v'
    const p = new Float64Array(i);
    for (let j = 0; j < i; j++) {
      let sum = 0;
      for (let k = 0; k <= j; k++) sum += at(j, k) * (v[k] ?? NaN);
      for (let k = j + 1; k < i; k++) sum += at(k, j) * (v[k] ?? NaN);
      p[j] = sum / half;
    }
    const along = p.reduce((sum, x, k) => sum + x * (v[k] ?? NaN), 0) / (2 * half);
    const q = p.map((x, k) => x - along * (v[k] ?? NaN));
    for (let j = 0; j < i; j++) {
      for (let k = 0; k <= j; k++) {
        a[j * n + k] = at(j, k) - (v[j] ?? NaN) * (q[k] ?? NaN) - (q[j] ?? NaN) * (v[k] ?? NaN);
      }
    }
  }
  diagonal[0] = at(0, 0);
  return { diagonal, beside };
}

/** Turns the planes from the end up to l until nothing is left beside the diagonal's element l. */
function isolate(d: Float64Array, e: Float64Array, l: number): void {
  const D = (i: number): number => d[i] ?? NaN;
  const E = (i: number): number => e[i] ?? NaN;
  for (let pass = 0; ; pass++) {
    let m = l;
    while (m < d.length - 1 && Math.abs(E(m)) > Number.EPSILON * (Math.abs(D(m)) + Math.abs(D(m + 1)))) m++;
    if (m === l) return;
    if (pass === MAX_PASSES) throw new RangeError("the eigenvalues do not settle");
    // Wilkinson's shift.
    let g = (D(l + 1) - D(l)) / (2 * E(l));
    let r = Math.hypot(g, 1);
    g = D(m) - D(l) + E(l) / (g + (g < 0 ? -r : r));
    let [sine, cosine, moved] = [1, 1, 0];
    let i = m - 1;
    for (; i >= l; i--) {
      const f = sine * E(i);
      const b = cosine * E(i);
      r = Math.hypot(f, g);
      e[i + 1] = r;
      if (r === 0) {
        d[i + 1] = D(i + 1) - moved;
        e[m] = 0;
        break;
      }
      sine = f / r;
      cosine = g / r;
      g = D(i + 1) - moved;
      r = (D(i) - g) * sine + 2 * cosine * b;
      moved = sine * r;
      d[i + 1] = g + moved;
      g = cosine * r - b;
    }
    if (r === 0 && i >= l) continue;
    d[l] = D(l) - moved;
    e[l] = g;
    e[m] = 0;
  }
}
