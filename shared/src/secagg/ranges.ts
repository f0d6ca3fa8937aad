/**
 * How far local training can move a weight, so that ranges follow from the plan and nobody's data.
 *
 * AdamW's step is lr * (m / (sqrt(v) + eps) + wd * w) with bias-corrected m = sum a_k g_k and v = sum b_k g_k^2. By the
 * Cauchy-Schwarz inequality |m| <= sqrt(sum a_k^2 / b_k) * sqrt(v), whatever the gradients; the root is `adamRatio`.
 * With S = the sum of the learning rates and |w| <= |w_0| + d, a displacement d obeys d <= S (ratio + wd (|w_0| + d)).
 */
import { ConsiliumError } from "../errors.ts";
import { largestMagnitude, tensorViews } from "../vector.ts";
import { elementCount, type Manifest } from "../manifest.ts";
import type { TensorRange } from "./layout.ts";

/** Training computes in float32; a bound that is exact for real numbers needs a little more. */
const FLOAT32_ALLOWANCE = 1.001;
/** After so many steps the ratio is within 1e-9 of its limit for any beta2 up to 0.999. */
const RATIO_STEPS = 20_000;

export interface MovementOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly weightDecay: number;
  /** Over all local steps of the round that a site of any size may take. */
  readonly learningRateSum: number;
}

/**
 * Largest possible |m| / sqrt(v) at any step. 1.16 for (0.9, 0.95).
 * @throws plan.invalid where no bound exists: beta2 not above beta1^2
 */
export function adamRatio(beta1: number, beta2: number): number {
  const q = beta1 ** 2 / beta2;
  if (!(beta1 >= 0 && beta2 < 1 && q < 1)) {
    throw new ConsiliumError("plan.invalid", {
      detail: "training: secure aggregation needs adamBeta1^2 < adamBeta2 < 1",
      culprits: ["training.adamBeta2"],
    });
  }
  let largest = 0;
  for (let step = 1; step <= RATIO_STEPS; step++) {
    const sum =
      ((1 - beta1) / (1 - beta1 ** step)) ** 2 *
      ((1 - beta2 ** step) / (1 - beta2)) *
      ((1 - q ** step) / (1 - q));
    largest = Math.max(largest, sum);
  }
  const limit = (1 - beta1) ** 2 / (1 - beta2) / (1 - q);
  return Math.sqrt(Math.max(largest, limit));
}

/**
 * Bound of one weight's movement, given the largest magnitude that it starts from.
 * @throws plan.invalid
 */
export function movementBound(startMagnitude: number, options: MovementOptions): number {
  return boundOf(startMagnitude, adamRatio(options.beta1, options.beta2), options);
}

function boundOf(startMagnitude: number, ratio: number, options: MovementOptions): number {
  const { weightDecay, learningRateSum } = options;
  const shrink = 1 - learningRateSum * weightDecay;
  if (shrink <= 0) {
    throw new ConsiliumError("plan.invalid", {
      detail: "training: weight decay moves weights without bound in one round",
      culprits: ["training.weightDecay"],
    });
  }
  const moved = learningRateSum * (ratio + weightDecay * startMagnitude);
  return (FLOAT32_ALLOWANCE * moved) / shrink;
}

/** A tensor of the base checkpoint, which everyone has, and its largest magnitude. */
export interface TensorMagnitude {
  readonly name: string;
  readonly shape: readonly number[];
  readonly largest: number;
}

/** @throws frame.wrong-length */
export function magnitudesOf(manifest: Manifest, base: Float32Array): TensorMagnitude[] {
  const views = tensorViews(manifest, base);
  return manifest.tensors.map(({ name, shape }) => ({
    name,
    shape,
    largest: largestMagnitude(views.get(name) ?? new Float32Array()),
  }));
}

/**
 * A range for each tensor.
 * @throws plan.invalid
 */
export function movementRanges(
  magnitudes: readonly TensorMagnitude[],
  options: MovementOptions,
): TensorRange[] {
  const ratio = adamRatio(options.beta1, options.beta2);
  return magnitudes.map(({ name, shape, largest }) => ({
    name,
    length: elementCount(shape),
    bound: agreedOn(boundOf(largest, ratio, options)),
  }));
}

/**
 * Upwards to six digits: powers and cosines may differ in the last bit between versions of a runtime, and sites whose
 * bounds differ at all take part in different attempts.
 */
export function agreedOn(bound: number): number {
  return Number((bound * (1 + 1e-5)).toPrecision(6));
}
