/** What every task offers to training. */
import type {
  InferenceDefinition,
  InputArrays,
  InputSpecs,
  Parameter,
  TrainStepDefinition,
} from "../engine/types.ts";
import type { Random } from "../dataset/random.ts";
import type { Answers } from "../dataset/taught-labels.ts";

/**
 * What becomes of a parameter between rounds, which the task says and nobody guesses:
 * `shared` ones start from the global model, and what training changed in them is sent and averaged;
 * `rebuilt` ones start each round as copies of those that they follow, and never leave the site;
 * `kept` ones stay at the site, and start each round as its last one left them;
 * `from-zero` ones start each round as zeros: the trained factor of a matrix of low rank, which is sent in the matrix's place;
 * `drawnFor` a matrix of low rank the other factor is drawn from the plan's seed, the same at all sites.
 */
export type Sharing = "shared" | "rebuilt" | "kept" | "from-zero" | { readonly drawnFor: string };

export interface PretextParameter extends Parameter {
  readonly sharing: Sharing;
}

export interface PretextTask<I extends InputSpecs = InputSpecs> {
  readonly name: string;
  /** Encoder first, then the task's own heads. */
  readonly parameters: readonly PretextParameter[];
  /** What the loss takes for so many examples, along axis 0 of every input. */
  inputs(examples: number): I;
  readonly loss: TrainStepDefinition<I>["loss"];
  /**
   * Of tasks with an answer to restore: outputs `loss`, and `meanAnswerLoss`, that of always giving the mean of the answers
   * wanted. For images that training did not see.
   */
  readonly judge?: InferenceDefinition<I>["forward"];
  /** Whether a batch may be cut into parts, see `TrainStepDefinition`: a contrastive loss may not. */
  readonly separable: boolean;
  /** Initial weights, flat, in parameter order: the same bits on every machine for the same seed. */
  initialWeights(seed: number): Float32Array;
  /**
   * The step's inputs for one batch.
   * @param images uint8 [examples, cachePx, cachePx, channels], of volumes [examples, depthPx, cachePx, cachePx, channels]
   * @param random decides crops, flips, masks and all other distortions
   * @param answers what the images show; of a task with labels alone, which needs them
   */
  prepare(images: Uint8Array, random: Random, answers?: Answers): InputArrays<I>;
}
