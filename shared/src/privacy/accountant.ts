/**
 * What training with noise costs, and how much noise a budget asks for. Rényi divergences of all steps add up order by
 * order, and the best order gives epsilon.
 */
import { sampledGaussianRenyi, type FractionalTerms } from "./renyi.ts";

/** So many steps of DP-SGD with the same settings (Abadi et al. 2016, algorithm 1). */
export interface NoisySteps {
  /** Probability with which each patient is in a step's batch. */
  readonly sampleRate: number;
  /** Standard deviation of the noise over the norm to which a patient's gradient is clipped. */
  readonly noiseMultiplier: number;
  readonly steps: number;
}

/** Those of dp_accounting 0.6: 1.1 to 10.9 in tenths, 11 to 63, 128 to 1024. */
export const ORDERS: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => 1 + (i + 1) / 10),
  ...Array.from({ length: 53 }, (_, i) => 11 + i),
  128,
  256,
  512,
  1024,
];

/** Those of Opacus 1.6, for comparison. */
export const OPACUS_ORDERS: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => 1 + (i + 1) / 10),
  ...Array.from({ length: 52 }, (_, i) => 12 + i),
];

export interface AccountantOptions {
  readonly orders?: readonly number[];
  readonly terms?: FractionalTerms;
}

/** Divergence of one after the other, at each order. */
export function renyiOf(
  spent: readonly NoisySteps[],
  { orders = ORDERS, terms = "bound" }: AccountantOptions = {},
): readonly number[] {
  return orders.map((order) =>
    spent.reduce(
      (sum, { sampleRate, noiseMultiplier, steps }) =>
        // Infinity times no step at all is none.
        steps === 0 ? sum : sum + steps * sampledGaussianRenyi(sampleRate, noiseMultiplier, order, terms),
      0,
    ),
  );
}

/** Epsilon at `delta` of all that was spent. Infinity without noise. */
export function epsilonOf(
  spent: readonly NoisySteps[],
  delta: number,
  options: AccountantOptions = {},
): number {
  return epsilonAt(renyiOf(spent, options), delta, options.orders ?? ORDERS);
}

/**
 * The conversion of Canonne, Kamath and Steinke 2020 ("The Discrete Gaussian for Differential Privacy", proposition 12),
 * as Opacus and dp_accounting have it: tighter than Mironov's of 2017.
 * @param renyi at each of `orders`
 */
export function epsilonAt(
  renyi: readonly number[],
  delta: number,
  orders: readonly number[] = ORDERS,
): number {
  if (!(delta > 0 && delta < 1)) throw new RangeError("delta is between 0 and 1");
  const candidates = orders.map((order, i) => {
    const divergence = renyi[i] ?? NaN;
    // delta <= sqrt(1 - exp(-KL)), and KL is at most any Rényi divergence: then epsilon is 0.
    if (delta ** 2 + Math.expm1(-divergence) > 0) return 0;
    return divergence + Math.log1p(-1 / order) - Math.log(delta * order) / (order - 1);
  });
  return Math.max(0, Math.min(...candidates));
}

/** More noise than this no plan can want: the model would learn nothing. */
const LARGEST_NOISE_MULTIPLIER = 1e6;

/**
 * The least noise with which so many steps stay within a budget, by bisection.
 * @param tolerance how far below the target epsilon may be; the figure never exceeds the target
 * @returns the noise multiplier, or null if no noise is enough
 */
export function noiseMultiplierFor(
  target: { readonly epsilon: number; readonly delta: number },
  work: Omit<NoisySteps, "noiseMultiplier">,
  { tolerance = 1e-4, ...options }: AccountantOptions & { readonly tolerance?: number } = {},
): number | null {
  const spend = (noiseMultiplier: number): number =>
    epsilonOf([{ ...work, noiseMultiplier }], target.delta, options);
  let [low, high] = [0, 20];
  let reached = spend(high);
  while (reached > target.epsilon) {
    [low, high] = [high, 2 * high];
    if (high > LARGEST_NOISE_MULTIPLIER) return null;
    reached = spend(high);
  }
  while (target.epsilon - reached > tolerance && high - low > 1e-12 * high) {
    const middle = (low + high) / 2;
    const epsilon = spend(middle);
    if (epsilon < target.epsilon) [high, reached] = [middle, epsilon];
    else low = middle;
  }
  return high;
}
