/** All compositions: TF.js kernels that need no kernel of their own here. */
import type { Composition } from "./composition.ts";
import { convolutionCompositions } from "./convolution.ts";
import { einsumComposition } from "./einsum.ts";
import { imageCompositions, imageGradientCompositions } from "./images.ts";
import { normalisationCompositions, responseNormGradient } from "./normalisation.ts";
import { poolingCompositions } from "./pooling.ts";
import { countingCompositions, scatterCompositions } from "./scatter.ts";

/** The gradient of each is that of the operations it is written in. */
export const differentiableCompositions: readonly Composition[] = [
  ...imageCompositions,
  ...normalisationCompositions,
  ...scatterCompositions,
  einsumComposition,
];

export const compositions: readonly Composition[] = [
  ...differentiableCompositions,
  ...convolutionCompositions,
  ...poolingCompositions,
  ...imageGradientCompositions,
  ...countingCompositions,
  responseNormGradient,
];
