/** AdamW on every trainable slot, as outputs that replace the resident weights and moments. */
import type { Slot } from "./layout.ts";
import { adamW, areFinite, guardedFactors, type Schedule } from "./optimizer.ts";
import { firstName, named, secondName, weightsName, type NamedTensors } from "./program.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";
import type { AdamWOptions } from "./types.ts";

export interface Clipped {
  /** In the shape of the slot. */
  readonly gradients: ReadonlyMap<Slot, tf.Tensor>;
  /** Makes the gradients what `adamW` wants: clipped and times (1 - beta1). */
  readonly factor: tf.Tensor;
  /** Scalars on which the update depends: if one is no finite number, the outputs are what was there before. */
  readonly checks: readonly tf.Tensor[];
}

/** @param tensors weights and moments by name */
export function updatedSlots(
  { gradients, factor, checks }: Clipped,
  schedule: Schedule,
  optimizer: AdamWOptions,
  tensors: NamedTensors,
): Record<string, tf.Tensor> {
  const usable = areFinite(checks);
  const factors = guardedFactors(usable, optimizer, schedule);
  const outputs: Record<string, tf.Tensor> = {};
  for (const [slot, gradient] of gradients) {
    const rate = factors.schedule.rates.get(slot.learningRateScale);
    if (rate === undefined) throw new RangeError("a slot without a rate");
    const moments = { first: named(tensors, firstName(slot)), second: named(tensors, secondName(slot)) };
    const scaled = tf.where(usable, tf.mul(gradient, factor), 0);
    const next = adamW(named(tensors, weightsName(slot)), scaled, moments, factors, rate, slot.decay);
    outputs[nextName(weightsName(slot))] = next.weights;
    outputs[nextName(firstName(slot))] = next.moments.first;
    outputs[nextName(secondName(slot))] = next.moments.second;
  }
  return outputs;
}
