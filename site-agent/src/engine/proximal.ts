/**
 * FedProx (Li et al. 2020, equation 2): mu / 2 ||w - w_t||^2 joins the local loss, so mu (w - w_t) joins the gradient. It is
 * added by hand and not by differentiation, so that the loss that is reported stays the task's own, and a patient's
 * gradient is clipped without it.
 */
import type { Slot } from "./layout.ts";
import {
  anchorName,
  named,
  slotInputs,
  weightsName,
  type NamedTensors,
  type ProgramInputs,
} from "./program.ts";
import * as tf from "./tf.ts";
import type { AdamWOptions } from "./types.ts";

type Gradients = ReadonlyMap<Slot, tf.Tensor>;

const muOf = ({ proximalMu = 0 }: AdamWOptions): number => proximalMu;

/** Slots whose anchors are resident: none without a mu. */
export const anchoredSlots = (trainable: readonly Slot[], optimizer: AdamWOptions): readonly Slot[] =>
  muOf(optimizer) === 0 ? [] : trainable;

export const anchorInputs = (trainable: readonly Slot[], optimizer: AdamWOptions): ProgramInputs =>
  slotInputs(anchoredSlots(trainable, optimizer), anchorName);

/** @param parts the gradients are sums over so many parts of the batch */
export function withProximalTerm(
  gradients: Gradients,
  optimizer: AdamWOptions,
  tensors: NamedTensors,
  parts = 1,
): Gradients {
  const mu = muOf(optimizer);
  if (mu === 0) return gradients;
  return new Map(
    [...gradients].map(([slot, gradient]) => {
      const moved = tf.sub(named(tensors, weightsName(slot)), named(tensors, anchorName(slot)));
      return [slot, tf.add(gradient, tf.mul(moved, mu * parts))];
    }),
  );
}
