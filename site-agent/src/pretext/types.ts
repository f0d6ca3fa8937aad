/** What every pretext task offers to training. */
import type { InputArrays, InputSpecs, Parameter, TrainStepDefinition } from "../engine/types.ts";
import type { Random } from "../dataset/random.ts";

export interface PretextTask<I extends InputSpecs = InputSpecs> {
  readonly name: string;
  /** Encoder first, then the task's own heads. */
  readonly parameters: readonly Parameter[];
  /** What the loss takes for so many examples, along axis 0 of every input. */
  inputs(examples: number): I;
  readonly loss: TrainStepDefinition<I>["loss"];
  /** Whether a batch may be cut into parts, see `TrainStepDefinition`: a contrastive loss may not. */
  readonly separable: boolean;
  /** Initial weights, flat, in parameter order: the same bits on every machine for the same seed. */
  initialWeights(seed: number): Float32Array;
  /**
   * The step's inputs for one batch.
   * @param images uint8 [examples, cachePx, cachePx, channels]
   * @param random decides crops, flips and masks
   */
  prepare(images: Uint8Array, random: Random): InputArrays<I>;
}
