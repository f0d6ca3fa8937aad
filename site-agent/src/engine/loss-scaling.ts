/**
 * Loss scaling for mixed precision (Micikevicius et al. 2018): small gradients would be 0 in float16, so the backward
 * pass computes them times a large number. They are divided by it where they leave it, in float32, so that neither the
 * norm nor the optimiser knows of it. If a gradient overflows, the step is done again with half the number.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { GRADIENT_NORM } from "./program.ts";
import * as tf from "./tf.ts";
import type { InputArrays, InputSpecs, StepOptions, TrainStep, TrainStepDefinition } from "./types.ts";

/** The batch's input that carries the number, once for each of its parts. */
const LOSS_SCALE = "lossScale";
const SCALE_SPEC = { shape: [1], dtype: "float32" } as const;

/** Powers of two, so that only what over- or underflows is changed by them. */
const FIRST_SCALE = 2 ** 16;
const LARGEST_SCALE = 2 ** 24;
/** Below 1 it is not the scale that makes the gradient overflow. */
const SMALLEST_SCALE = 1;
/** Updates without overflow before the next larger number is tried. */
const GROW_AFTER = 2000;

type Compile = <I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  options?: StepOptions,
) => Promise<TrainStep<I>>;

/** @param compile without scaling */
export const withLossScaling =
  (compile: Compile): Compile =>
  async (definition, options) => {
    // Norms of single examples would be those of the scaled loss, in float16.
    if (options?.privacy !== undefined) {
      throw new ConsiliumError("privacy.unsupported", {
        detail: "(mixed precision)",
        culprits: ["precision"],
      });
    }
    const step = await compile<InputSpecs>(scaled(definition), options);
    return new ScaledTrainStep(step, options?.microBatches ?? 1);
  };

/** The same loss and the same gradients; in between the gradients are larger. */
function scaled<I extends InputSpecs>(definition: TrainStepDefinition<I>): TrainStepDefinition {
  return {
    ...definition,
    inputs: { ...definition.inputs, [LOSS_SCALE]: SCALE_SPEC },
    loss: (parameters, inputs) => {
      const scale = tf.reshape(inputs[LOSS_SCALE] ?? tf.scalar(1), []);
      const smaller = (gradient: tf.Tensor): tf.Tensor => tf.div(gradient, scale);
      const larger = (gradient: tf.Tensor): tf.Tensor => tf.mul(gradient, scale);
      const divided = new Map([...parameters].map(([name, tensor]) => [name, onTheWayBack(tensor, smaller)]));
      // The definition reads its own inputs alone.
      const { loss, ...rest } = definition.loss(divided, inputs as Parameters<typeof definition.loss>[1]);
      return { ...rest, loss: onTheWayBack(loss, larger) };
    },
  };
}

/** The tensor itself, whose gradient is changed. */
function onTheWayBack(tensor: tf.Tensor, change: (gradient: tf.Tensor) => tf.Tensor): tf.Tensor {
  return tf.customGrad((x) => ({ value: tf.clone(x as tf.Tensor), gradFunc: change }))(tensor);
}

class ScaledTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #step: TrainStep;
  readonly #parts: number;
  #scale = FIRST_SCALE;
  #sinceOverflow = 0;

  constructor(step: TrainStep, parts: number) {
    this.#step = step;
    this.#parts = parts;
  }

  async run(inputs: InputArrays<I>, learningRate: number): ReturnType<TrainStep["run"]> {
    for (;;) {
      try {
        const scales = new Float32Array(this.#parts).fill(this.#scale);
        const result = await this.#step.run({ ...inputs, [LOSS_SCALE]: scales }, learningRate);
        this.#grow();
        return result;
      } catch (error) {
        // Weights and moments are as they were.
        if (!isOverflow(error) || this.#scale <= SMALLEST_SCALE) throw error;
        this.#scale /= 2;
        this.#sinceOverflow = 0;
      }
    }
  }

  #grow(): void {
    this.#sinceOverflow++;
    if (this.#sinceOverflow < GROW_AFTER) return;
    this.#scale = Math.min(this.#scale * 2, LARGEST_SCALE);
    this.#sinceOverflow = 0;
  }

  readonly readWeights = (): Promise<Float32Array> => this.#step.readWeights();
  readonly writeWeights: TrainStep["writeWeights"] = (values, anchor) =>
    this.#step.writeWeights(values, anchor);
  readonly readOptimizerState: TrainStep["readOptimizerState"] = () => this.#step.readOptimizerState();
  readonly writeOptimizerState: TrainStep["writeOptimizerState"] = (state) =>
    this.#step.writeOptimizerState(state);
  readonly dispose = (): Promise<void> => this.#step.dispose();
}

/** A loss that is no number is none at any scale. */
const isOverflow = (error: unknown): boolean =>
  error instanceof ConsiliumError &&
  error.code === "training.diverged" &&
  error.culprits.includes(GRADIENT_NORM);
