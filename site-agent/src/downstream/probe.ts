/** The linear probe: logistic regression on the frozen encoder's standardised features. */
import { fitLogistic, LOGISTIC_DEFAULTS, predictLogistic } from "./logistic.ts";

export interface ProbeTask {
  /** [N, D] */
  readonly trainFeatures: Float32Array;
  /** Class index of each training image. */
  readonly trainClasses: Int32Array;
  /** [M, D] */
  readonly testFeatures: Float32Array;
  readonly classes: number;
  /** Weight of each training image's loss. */
  readonly weights: Float32Array;
  readonly l2: number;
}

/** Class probabilities of the test images, [M, classes]. Features are standardised by the training set alone. */
export function probe({
  trainFeatures,
  testFeatures,
  trainClasses,
  classes,
  weights,
  l2,
}: ProbeTask): Float64Array {
  const width = trainFeatures.length / trainClasses.length;
  const standardise = standardiser(trainFeatures, width);
  const options = { ...LOGISTIC_DEFAULTS, l2 };
  const model = fitLogistic(standardise(trainFeatures), trainClasses, classes, options, weights);
  return predictLogistic(model, standardise(testFeatures));
}

/** Maps features to mean 0 and standard deviation 1 on `reference`; one that never varies becomes 0. */
export function standardiser(
  reference: Float32Array,
  width: number,
): (features: Float32Array) => Float64Array {
  const rows = reference.length / width;
  const mean = new Float64Array(width);
  const variance = new Float64Array(width);
  reference.forEach((value, i) => {
    mean[i % width] = (mean[i % width] ?? 0) + value / rows;
  });
  reference.forEach((value, i) => {
    variance[i % width] = (variance[i % width] ?? 0) + (value - (mean[i % width] ?? 0)) ** 2 / rows;
  });
  const scale = variance.map((v) => (v > 1e-12 ? 1 / Math.sqrt(v) : 0));
  return (features) =>
    Float64Array.from(features, (value, i) => (value - (mean[i % width] ?? 0)) * (scale[i % width] ?? 0));
}
