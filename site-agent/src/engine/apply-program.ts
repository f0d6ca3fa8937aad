/**
 * The second half of a training step: clipping and AdamW, on gradients that `gradientProgram` left in resident arrays.
 */
import { followed } from "./followed.ts";
import { followingSlots, layOut, trainableSlots } from "./layout.ts";
import { gradientFactor, globalNorm, learningRateScales, readSchedule, scheduleLength } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  SCHEDULE,
  firstName,
  gradientName,
  named,
  noiseName,
  secondName,
  slotInputs,
  vectorInput,
  weightsName,
} from "./program.ts";
import { anchorInputs, withProximalTerm } from "./proximal.ts";
import type { StepProgram } from "./step-program.ts";
import * as tf from "./tf.ts";
import type { InputSpecs, TrainStepDefinition } from "./types.ts";
import { updatedSlots } from "./updated-slots.ts";

/**
 * Inputs: `weightsName`, `firstName`, `secondName` and `gradientName` of the trainable slots, and `SCHEDULE`; the weights
 * of the other slots too where some follow. Outputs:
 * `GRADIENT_NORM` of the mean gradient before clipping, and `nextName` of the weights and both moments.
 * @param parts the gradients are sums over this many equal parts of the batch (micro-batches, devices), or examples
 * @param noise whether `noiseName` of the trainable slots, as more inputs, is added to the sums
 */
export function applyProgram<I extends InputSpecs>(
  { parameters, optimizer }: Pick<TrainStepDefinition<I>, "parameters" | "optimizer">,
  parts: number,
  { noise = false }: { readonly noise?: boolean } = {},
): StepProgram {
  const layout = layOut(parameters);
  const trainable = trainableSlots(layout);
  const scales = learningRateScales(trainable);
  return {
    layout,
    trainable,
    scales,
    inputs: {
      ...slotInputs(followingSlots(layout).length === 0 ? trainable : layout.slots, weightsName),
      ...slotInputs(trainable, firstName),
      ...slotInputs(trainable, secondName),
      ...anchorInputs(trainable, optimizer),
      ...slotInputs(trainable, gradientName),
      ...(noise ? slotInputs(trainable, noiseName) : {}),
      ...vectorInput(SCHEDULE, scheduleLength(scales)),
    },
    body: (tensors) => {
      const sums = new Map(
        trainable.map((slot) => {
          const sum = named(tensors, gradientName(slot));
          return [slot, noise ? tf.add(sum, named(tensors, noiseName(slot))) : sum];
        }),
      );
      const gradients = withProximalTerm(sums, optimizer, tensors, parts);
      const norm = tf.div(globalNorm([...gradients.values()]), parts);
      const factor = tf.div(gradientFactor(norm, optimizer), parts);
      const schedule = readSchedule(named(tensors, SCHEDULE), scales);
      const updated = updatedSlots({ gradients, factor, checks: [norm] }, schedule, optimizer, tensors);
      return { [GRADIENT_NORM]: norm, ...updated, ...followed(layout, updated, [norm], tensors) };
    },
  };
}
