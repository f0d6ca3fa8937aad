/**
 * Forward and backward on one part of a private batch: adds the clipped gradients of its examples to what earlier parts
 * left in the resident arrays (`gradientName`), as `gradientProgram` does with whole ones.
 */
import { intoSlots } from "./differentiate.ts";
import type { GradientProgram } from "./gradient-program.ts";
import { layOut, trainableSlots, type Slot } from "./layout.ts";
import { metricOutputs } from "./metrics.ts";
import { Recorder, notPerExample, recording } from "./per-example.ts";
import {
  EXAMPLE_NORM,
  EXAMPLE_WEIGHT,
  KEPT_GRADIENT,
  LOSS,
  batchInputs,
  batchName,
  batchTensors,
  gradientName,
  named,
  parameterTensors,
  slotInputs,
  vectorInput,
  weightsName,
  type NamedTensors,
} from "./program.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";
import type { InputSpecs, InputTensors, PrivateStepOptions, TrainStepDefinition } from "./types.ts";

type Clipping = Pick<PrivateStepOptions, "examples" | "clipL2Norm">;

/**
 * Inputs: those of an accumulating `gradientProgram`, and `EXAMPLE_WEIGHT`, [examples]. Outputs: `LOSS`, the mean over all
 * examples of this part; `EXAMPLE_NORM`, [examples]; `nextName(gradientName(slot))`.
 */
export function clippedGradientProgram<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  clipping: Clipping,
): GradientProgram {
  const layout = layOut(definition.parameters);
  const trainable = trainableSlots(layout);
  return {
    layout,
    trainable,
    inputs: {
      ...slotInputs(layout.slots, weightsName),
      ...slotInputs(trainable, gradientName),
      ...vectorInput(KEPT_GRADIENT, 1),
      ...vectorInput(batchName(EXAMPLE_WEIGHT), clipping.examples),
      ...batchInputs(definition.inputs),
    },
    body: (tensors) => {
      const batch = batchTensors(definition.inputs, tensors);
      const parameters = parameterTensors(definition.parameters, layout, tensors);
      const counts = named(tensors, batchName(EXAMPLE_WEIGHT));
      const { loss, norms, gradients } = clippedGradients(
        definition,
        { parameters, batch, counts, trainable },
        clipping,
      );
      const kept = tf.reshape(named(tensors, KEPT_GRADIENT), []);
      const outputs: Record<string, tf.Tensor> = {
        [LOSS]: loss,
        ...metricOutputs({ [EXAMPLE_NORM]: norms }),
      };
      for (const [slot, gradient] of gradients) {
        const name = gradientName(slot);
        outputs[nextName(name)] = tf.add(tf.mul(named(tensors, name), kept), gradient);
      }
      return outputs;
    },
  };
}

interface Part<I extends InputSpecs> {
  readonly parameters: NamedTensors;
  readonly batch: InputTensors<I>;
  /** `EXAMPLE_WEIGHT` */
  readonly counts: tf.Tensor;
  readonly trainable: readonly Slot[];
}

/** The sum over examples of their gradients, each scaled to `clipL2Norm` at most. @throws privacy.not-per-example */
function clippedGradients<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  { parameters, batch, counts, trainable }: Part<I>,
  { examples, clipL2Norm }: Clipping,
): { readonly loss: tf.Tensor; readonly norms: tf.Tensor; readonly gradients: ReadonlyMap<Slot, tf.Tensor> } {
  const names = trainable.flatMap(({ members }) => members.map(({ parameter }) => parameter.name));
  const trained = new Map(names.map((name) => [name, named(parameters, name)]));
  const recorder = new Recorder(examples, trained);
  try {
    // The loss is the mean over examples, so an example's own gradient is that of the sum.
    const forward = (): tf.Tensor =>
      tf.mul(tf.reshape(definition.loss(parameters, batch).loss, []), examples);
    const { value, grads } = recording(recorder, () =>
      tf.engine().gradients(forward, [recorder.tap, ...trained.values()], undefined, true),
    );
    const [squares, ...unrecorded] = grads as readonly (tf.Tensor | undefined)[];
    const astray = names.find((_, i) => unrecorded[i] !== undefined);
    if (astray !== undefined) throw notPerExample(astray);
    // A sum of products may come out a hair below zero.
    const norms = tf.sqrt(tf.maximum(squares ?? tf.zeros([examples]), 0));
    const weights = tf.mul(counts, tf.div(clipL2Norm, tf.maximum(norms, clipL2Norm)));
    const gradients = intoSlots(trainable, recorder.weighted(weights));
    return { loss: tf.div(value, examples), norms, gradients };
  } finally {
    recorder.dispose();
  }
}
