/**
 * Multinomial logistic regression with an L2 penalty, fitted by L-BFGS in float64: the linear probe's head.
 * The objective is convex and the optimiser has no randomness, so equal features give equal weights.
 */

export interface LogisticModel {
  readonly features: number;
  readonly classes: number;
  /** [classes, features + 1]; the last column is the bias. */
  readonly weights: Float64Array;
}

export interface LogisticOptions {
  /** Factor of half the squared norm of the weights (biases excepted), beside the *mean* cross-entropy. */
  readonly l2: number;
  readonly maxIterations: number;
  /** Stop when no component of the gradient is larger. */
  readonly tolerance: number;
}

export const LOGISTIC_DEFAULTS: LogisticOptions = { l2: 0.1, maxIterations: 200, tolerance: 1e-5 };

/**
 * @param inputs [N, features]
 * @param truth class index of each row
 * @param rowWeights weight of each row's loss, for example to balance classes; all 1 if left out
 */
export function fitLogistic(
  inputs: ArrayLike<number>,
  truth: ArrayLike<number>,
  classes: number,
  { l2, maxIterations, tolerance }: LogisticOptions = LOGISTIC_DEFAULTS,
  rowWeights?: ArrayLike<number>,
): LogisticModel {
  const rows = truth.length;
  const features = rows === 0 ? 0 : inputs.length / rows;
  const stride = features + 1;
  let totalWeight = 0;
  for (let i = 0; i < rows; i++) totalWeight += rowWeights?.[i] ?? 1;
  const probabilities = new Float64Array(classes);

  const objective: Objective = (weights, gradient) => {
    gradient.fill(0);
    let value = 0;
    for (let i = 0; i < rows; i++) {
      const share = (rowWeights?.[i] ?? 1) / totalWeight;
      softmaxRow(inputs, i, weights, features, probabilities);
      value -= share * Math.log(Math.max(probabilities[truth[i] ?? 0] ?? 0, Number.MIN_VALUE));
      for (let c = 0; c < classes; c++) {
        const slope = share * ((probabilities[c] ?? 0) - Number(truth[i] === c));
        for (let j = 0; j < features; j++) {
          gradient[c * stride + j] =
            (gradient[c * stride + j] ?? 0) + slope * (inputs[i * features + j] ?? 0);
        }
        gradient[c * stride + features] = (gradient[c * stride + features] ?? 0) + slope;
      }
    }
    for (let c = 0; c < classes; c++) {
      for (let j = c * stride; j < c * stride + features; j++) {
        const weight = weights[j] ?? 0;
        value += (l2 / 2) * weight * weight;
        gradient[j] = (gradient[j] ?? 0) + l2 * weight;
      }
    }
    return value;
  };
  const weights = minimise(objective, new Float64Array(classes * stride), maxIterations, tolerance);
  return { features, classes, weights };
}

/** Class probabilities [N, classes] of inputs [N, features]. */
export function predictLogistic(model: LogisticModel, inputs: ArrayLike<number>): Float64Array {
  const { features, classes, weights } = model;
  const rows = inputs.length / features;
  const out = new Float64Array(rows * classes);
  for (let i = 0; i < rows; i++) {
    softmaxRow(inputs, i, weights, features, out.subarray(i * classes, (i + 1) * classes));
  }
  return out;
}

/** Softmax of the logits of row `i`, into `out`. */
function softmaxRow(
  inputs: ArrayLike<number>,
  i: number,
  weights: Float64Array,
  features: number,
  out: Float64Array,
): void {
  const stride = features + 1;
  let top = -Infinity;
  for (let c = 0; c < out.length; c++) {
    let logit = weights[c * stride + features] ?? 0;
    for (let j = 0; j < features; j++) {
      logit += (weights[c * stride + j] ?? 0) * (inputs[i * features + j] ?? 0);
    }
    out[c] = logit;
    top = Math.max(top, logit);
  }
  let sum = 0;
  for (let c = 0; c < out.length; c++) {
    const e = Math.exp((out[c] ?? 0) - top);
    out[c] = e;
    sum += e;
  }
  for (let c = 0; c < out.length; c++) out[c] = (out[c] ?? 0) / sum;
}

/** Value at `point`; writes the gradient. */
type Objective = (point: Float64Array, gradient: Float64Array) => number;

const MEMORY = 10;
const SUFFICIENT_DECREASE = 1e-4;
const MAX_HALVINGS = 40;

/** L-BFGS with the two-loop recursion and backtracking (Nocedal and Wright 2006, algorithms 7.4 and 3.1). */
function minimise(
  objective: Objective,
  start: Float64Array,
  maxIterations: number,
  tolerance: number,
): Float64Array {
  let point = start;
  let gradient = new Float64Array(point.length);
  let value = objective(point, gradient);
  const history: { step: Float64Array; change: Float64Array; curvature: number }[] = [];
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (gradient.every((g) => Math.abs(g) <= tolerance)) break;

    // Two-loop recursion: direction = -H gradient.
    const direction = gradient.map((g) => -g);
    const factors: number[] = [];
    for (const { step, change, curvature } of history.toReversed()) {
      const factor = dot(step, direction) / curvature;
      factors.push(factor);
      addScaled(direction, change, -factor);
    }
    const newest = history.at(-1);
    const scale = newest ? newest.curvature / dot(newest.change, newest.change) : 1;
    for (let j = 0; j < direction.length; j++) direction[j] = (direction[j] ?? 0) * scale;
    for (const { step, change, curvature } of history) {
      addScaled(direction, step, (factors.pop() ?? 0) - dot(change, direction) / curvature);
    }

    // Backtrack until the value falls enough.
    const slope = dot(gradient, direction);
    let length = newest ? 1 : 1 / Math.max(1, Math.sqrt(dot(gradient, gradient)));
    let accepted = false;
    for (let halving = 0; halving < MAX_HALVINGS; halving++, length /= 2) {
      const candidate = Float64Array.from(point);
      addScaled(candidate, direction, length);
      const nextGradient = new Float64Array(point.length);
      const nextValue = objective(candidate, nextGradient);
      if (!(nextValue <= value + SUFFICIENT_DECREASE * length * slope)) continue;
      const step = candidate.map((v, j) => v - (point[j] ?? 0));
      const change = nextGradient.map((g, j) => g - (gradient[j] ?? 0));
      const curvature = dot(step, change);
      if (curvature > 1e-12) history.push({ step, change, curvature });
      if (history.length > MEMORY) history.shift();
      point = candidate;
      gradient = nextGradient;
      value = nextValue;
      accepted = true;
      break;
    }
    if (!accepted) break; // no progress left in float64
  }
  return point;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += (a[j] ?? 0) * (b[j] ?? 0);
  return sum;
}

function addScaled(target: Float64Array, source: Float64Array, factor: number): void {
  for (let j = 0; j < target.length; j++) target[j] = (target[j] ?? 0) + factor * (source[j] ?? 0);
}
