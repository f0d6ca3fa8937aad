/**
 * The chain rule for every kernel that models here use. TF.js ships such rules too, but in files that only a
 * bundler can load; under Node its core comes without. These also sum over broadcast axes where TF.js' do not
 * (BatchMatMul, Maximum), and write sums as broadcasts instead of products with tensors of ones.
 */
import * as tf from "@tensorflow/tfjs-core";
import { composedRules } from "./composed.ts";
import { convolutionRules } from "./convolution.ts";
import { elementwiseRules, stepRules } from "./elementwise.ts";
import { indexingRules } from "./indexing.ts";
import { answerRules, structureRules } from "./structure.ts";

export const gradientRules: readonly tf.GradConfig[] = [
  ...elementwiseRules,
  ...structureRules,
  ...indexingRules,
  ...convolutionRules,
  ...composedRules,
];

/** Kernels whose gradient is zero wherever there is one. */
export const flatKernels: ReadonlySet<string> = new Set(
  [...stepRules, ...answerRules].map(({ kernelName }) => kernelName).concat(tf.OneHot),
);

/** Registers each rule that TF.js does not already have. */
export function registerGradients(): void {
  for (const config of gradientRules) {
    // TF.js' declaration hides that there may be none.
    const existing = tf.getGradient(config.kernelName) as tf.GradConfig | undefined;
    if (existing === undefined) tf.registerGradient(config);
  }
}
