/** AdamW on every trainable slot, as outputs that replace the resident weights and moments. */
import type { Slot } from "./layout.ts";
import { adamW, type Schedule } from "./optimizer.ts";
import { firstName, named, secondName, weightsName, type NamedTensors } from "./program.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";
import type { AdamWOptions } from "./types.ts";

/**
 * @param factor makes the gradients what `adamW` wants: clipped and times (1 - beta1)
 * @param tensors weights and moments by name
 */
export function updatedSlots(
  gradients: ReadonlyMap<Slot, tf.Tensor>,
  factor: tf.Tensor,
  schedule: Schedule,
  optimizer: AdamWOptions,
  tensors: NamedTensors,
): Record<string, tf.Tensor> {
  const outputs: Record<string, tf.Tensor> = {};
  for (const [slot, gradient] of gradients) {
    const rate = schedule.rates.get(slot.learningRateScale);
    if (rate === undefined) throw new RangeError("a slot without a rate");
    const moments = { first: named(tensors, firstName(slot)), second: named(tensors, secondName(slot)) };
    const scaled = tf.mul(gradient, factor);
    const weights = named(tensors, weightsName(slot));
    const next = adamW(weights, scaled, moments, optimizer, schedule.epsilon, rate, slot.decay);
    outputs[nextName(weightsName(slot))] = next.weights;
    outputs[nextName(firstName(slot))] = next.moments.first;
    outputs[nextName(secondName(slot))] = next.moments.second;
  }
  return outputs;
}
