/** The complementary error function, scaled so that neither tail over- or underflows. */

/** From here on the continued fraction is short and the power series loses digits. */
const SERIES_LIMIT = 2;
const SQRT_PI = Math.sqrt(Math.PI);

/** log(exp(x^2) erfc(x)) to about 1e-13, for x from 0 (Abramowitz and Stegun 1964, 7.1.6 and 7.1.14). */
export function logErfcx(x: number): number {
  if (x > SERIES_LIMIT) return Math.log(continuedFraction(x) / SQRT_PI);
  return x * x + Math.log1p(-erfSeries(x));
}

/** log erfc(x), likewise, for any finite x. */
export function logErfc(x: number): number {
  if (x > 0) return logErfcx(x) - x * x;
  if (x >= -SERIES_LIMIT) return Math.log1p(-erfSeries(x));
  // erfc(x) = 2 - erfc(-x), whose second term is small beside the first.
  return Math.LN2 + Math.log1p((-Math.exp(-x * x) * continuedFraction(-x)) / (2 * SQRT_PI));
}

/** erf(x) = 2/sqrt(pi) exp(-x^2) (x + 2/3 x^3 + 4/15 x^5 + ..): all terms have one sign. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / SQRT_PI) * Math.exp(-x * x) * sum;
}

/** 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ..)))), from the far end, which is the nearer the larger x is. */
function continuedFraction(x: number): number {
  let value = x;
  for (let n = Math.ceil(20 + 240 / x ** 2); n >= 1; n--) value = x + n / 2 / value;
  return 1 / value;
}
