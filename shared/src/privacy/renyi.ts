/**
 * Rényi differential privacy of the Gaussian mechanism on a Poisson sample (Mironov, Talwar and Zhang 2019, "Rényi
 * Differential Privacy of the Sampled Gaussian Mechanism", section 3.3), for adding or removing one member.
 *
 * With z0 = sigma^2 log(1/q - 1) + 1/2 the series of fractional orders is written here as
 *
 *     A = (1 - q)^alpha exp(-z0^2 / 2 sigma^2) / 2  sum_i binom(alpha, i) [E((i - z0) / r) + E((z0 - alpha + i) / r)]
 *
 * with r = sqrt(2) sigma and E(x) = exp(x^2) erfc(x): the paper's powers and exponentials cancel, so that nothing
 * overflows and every term but E is one number for the whole series.
 *
 * Beyond i = alpha the binomials change sign from term to term. Opacus adds them with their signs, which gives A itself;
 * dp_accounting adds their absolute values, which is never less. The ledger adds absolute values (`bound`): cancellation
 * cannot make it report less than was spent, and what is left of the series when we stop is bounded and added, too.
 */
import { logErfc, logErfcx } from "./erfc.ts";

/** How the terms of a fractional order are added up. `signed` is Opacus', for comparison. */
export type FractionalTerms = "bound" | "signed";

/** Share of A at which the series is left; the bound on its rest is added. */
const REMAINDER = 1e-13;
/** A bound may be left early, where the rate is large and the order near 1: what is added instead is hardly more. */
const MOST_TERMS: Readonly<Record<FractionalTerms, number>> = { bound: 1000, signed: 100_000 };

/**
 * Of one step, at one order.
 * @param sampleRate q: each member is in the sample with this probability, 0 to 1
 * @param noiseMultiplier sigma: standard deviation of the noise over the clip norm
 * @param order alpha, above 1
 */
export function sampledGaussianRenyi(
  sampleRate: number,
  noiseMultiplier: number,
  order: number,
  terms: FractionalTerms = "bound",
): number {
  if (!(sampleRate >= 0 && sampleRate <= 1 && noiseMultiplier >= 0 && order > 1)) {
    throw new RangeError("a rate of 0 to 1, noise of at least 0 and an order above 1");
  }
  if (sampleRate === 0) return 0;
  if (noiseMultiplier === 0) return Infinity;
  if (sampleRate === 1) return order / (2 * noiseMultiplier ** 2);
  const logA = Number.isInteger(order)
    ? logMomentAtInteger(sampleRate, noiseMultiplier, order)
    : logMomentAtFraction(sampleRate, noiseMultiplier, order, terms);
  // A is at least 1 (Jensen); rounding may say otherwise by a hair.
  return Math.max(0, logA) / (order - 1);
}

/** log sum_k binom(alpha, k) q^k (1 - q)^(alpha - k) exp((k^2 - k) / 2 sigma^2) */
function logMomentAtInteger(q: number, sigma: number, order: number): number {
  const [logQ, logRest] = [Math.log(q), Math.log1p(-q)];
  const logs: number[] = [];
  let logBinomial = 0;
  for (let k = 0; k <= order; k++) {
    logs.push(logBinomial + k * logQ + (order - k) * logRest + (k * k - k) / (2 * sigma ** 2));
    logBinomial += Math.log((order - k) / (k + 1));
  }
  // exp((k^2 - k) / 2 sigma^2) is 1 for k = 0 and 1, and all the binomials sum to 1: what is above 1 is added alone.
  const excess = logs.map((log, k) => (k < 2 ? -Infinity : log + logExcess((k * k - k) / (2 * sigma ** 2))));
  return log1pOfExp(logSum(excess));
}

/** log(1 - exp(-x)): x above 0 */
const logExcess = (x: number): number => Math.log(-Math.expm1(-x));

/** log(1 + exp(x)) */
const log1pOfExp = (x: number): number => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));

function logMomentAtFraction(q: number, sigma: number, order: number, terms: FractionalTerms): number {
  const logOdds = Math.log1p(-q) - Math.log(q);
  const z0 = sigma ** 2 * logOdds + 0.5;
  const logRest = order * Math.log1p(-q);
  /** (1 - q)^alpha exp(-z0^2 / 2 sigma^2) E(side (z - z0) / r) / 2; z0^2 never enters where it would cancel. */
  const logHalf = (z: number, side: 1 | -1): number => {
    const x = (side * (z - z0)) / (Math.SQRT2 * sigma);
    return x > 0
      ? logRest - z0 ** 2 / (2 * sigma ** 2) + logErfcx(x) - Math.LN2
      : logRest + (z * z - z) / (2 * sigma ** 2) - z * logOdds + logErfc(x) - Math.LN2;
  };
  const logs: number[] = [];
  const signs: number[] = [];
  let logBinomial = 0;
  let sign = 1;
  let largest = -Infinity;
  for (let i = 0; ; i++) {
    const log = logBinomial + logSum([logHalf(i, 1), logHalf(order - i, -1)]);
    largest = Math.max(largest, log);
    logs.push(log);
    signs.push(sign);
    // Beyond alpha E falls and the binomials fall at least as i^-(alpha + 1): the rest is at most this.
    const logTail = log + Math.log((i + 1) / order);
    if (i > order && (logTail < largest + Math.log(REMAINDER) || i >= MOST_TERMS[terms])) {
      return terms === "bound" ? logSum([...logs, logTail]) : logSignedSum(logs, signs);
    }
    logBinomial += Math.log(Math.abs(order - i) / (i + 1));
    if (order < i) sign = -sign;
  }
}

/** log sum exp(x) */
const logSum = (logs: readonly number[]): number => logSignedSum(logs, null);

function logSignedSum(logs: readonly number[], signs: readonly number[] | null): number {
  const largest = logs.reduce((a, b) => Math.max(a, b), -Infinity);
  if (largest === -Infinity) return -Infinity;
  // Neumaier's sum: log A may be 1e-6 where A is 1.
  let sum = 0;
  let lost = 0;
  for (const [i, log] of logs.entries()) {
    const term = (signs?.[i] ?? 1) * Math.exp(log - largest);
    const next = sum + term;
    lost += Math.abs(sum) >= Math.abs(term) ? sum - next + term : term - next + sum;
    sum = next;
  }
  return largest + Math.log(sum + lost);
}
