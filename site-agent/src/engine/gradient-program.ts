/**
 * The first half of a training step: forward and backward on one batch, without touching the weights.
 *
 * The gradients replace resident arrays, one per trainable slot (`gradientName`), or are added to what is in them:
 * so parts of a batch, one after the other, leave the sum of their gradients there, and several devices can put
 * their sums together before any of them calls the second half, `applyProgram`.
 */
import { differentiate } from "./differentiate.ts";
import { layOut, trainableSlots, type Slot } from "./layout.ts";
import { metricOutputs } from "./metrics.ts";
import {
  KEPT_GRADIENT,
  LOSS,
  batchInputs,
  batchTensors,
  gradientName,
  named,
  parameterTensors,
  slotInputs,
  vectorInput,
  weightsName,
  type Program,
} from "./program.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";
import type { InputSpecs, TrainStepDefinition } from "./types.ts";

export interface GradientProgram extends Program {
  /** Those whose gradients come out. */
  readonly trainable: readonly Slot[];
}

export interface GradientOptions {
  /** Whether gradients are added to `KEPT_GRADIENT` times those that are there. Otherwise they replace them. */
  readonly accumulate: boolean;
  /** See `StepOptions`. */
  readonly recompute?: boolean;
}

/**
 * Inputs: `weightsName` of all slots, `batchName` of the definition's inputs and, to accumulate, `gradientName` of the
 * trainable slots and `KEPT_GRADIENT`, [1]: 0 for the first part of a batch, 1 for the others. Outputs: `LOSS` and the metrics of this batch, and `nextName(gradientName(slot))`.
 */
export function gradientProgram<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  { accumulate, recompute = false }: GradientOptions,
): GradientProgram {
  const layout = layOut(definition.parameters);
  const trainable = trainableSlots(layout);
  return {
    layout,
    trainable,
    inputs: {
      ...slotInputs(layout.slots, weightsName),
      ...(accumulate ? { ...slotInputs(trainable, gradientName), ...vectorInput(KEPT_GRADIENT, 1) } : {}),
      ...batchInputs(definition.inputs),
    },
    body: (tensors) => {
      const batch = batchTensors(definition.inputs, tensors);
      const parameters = parameterTensors(definition.parameters, layout, tensors);
      const { loss, metrics, gradients } = differentiate(definition, parameters, batch, trainable, recompute);
      const outputs: Record<string, tf.Tensor> = { [LOSS]: loss, ...metricOutputs(metrics) };
      const kept = accumulate ? tf.reshape(named(tensors, KEPT_GRADIENT), []) : null;
      for (const [slot, gradient] of gradients) {
        const name = gradientName(slot);
        outputs[nextName(name)] =
          kept === null
            ? tf.clone(gradient) // A tensor of its own: two parameters may have one gradient between them.
            : tf.add(tf.mul(named(tensors, name), kept), gradient);
      }
      return outputs;
    },
  };
}
