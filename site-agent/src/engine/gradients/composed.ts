/** Gradient rules that follow from writing a kernel in other operations. */
import * as tf from "@tensorflow/tfjs-core";
import type { Composition } from "../compositions/composition.ts";
import { differentiableCompositions } from "../compositions/list.ts";
import { none, rule, type Saves } from "./rule.ts";

/**
 * Runs the composition again, on tape, and takes its gradient. In a traced graph what runs again is merged with what
 * ran before, so it costs nothing.
 */
function composedRule(composition: Composition): tf.GradConfig {
  const { name, inputs } = composition;
  const saves: Saves = inputs === "all" ? { allInputs: true } : { inputs };
  return rule(name, saves, (dy, saved, attributes) => {
    const names = inputs === "all" ? saved.all.map((_, i) => String(i)) : inputs;
    const tensors = Object.fromEntries(names.map((input, i) => [input, saved.at(i)]));
    const gradient = (x: tf.Tensor): tf.Tensor => {
      if (x.dtype !== "float32") return none(x);
      return gradientOf(() => composition.compose(tensors, attributes), x, dy) ?? none(x);
    };
    return Object.fromEntries(names.map((input, i) => [input, () => gradient(saved.at(i))]));
  });
}

/**
 * A gradient within a gradient: TF.js forgets the outer tape when the inner one ends, so it gets it back.
 * @returns null where the result does not depend on x, which TF.js' declaration hides
 */
function gradientOf(run: () => tf.Tensor, x: tf.Tensor, dy: tf.Tensor): tf.Tensor | null {
  const { state } = tf.engine();
  const outer = state.activeTape;
  try {
    const [gradient = null] = tf.engine().gradients(run, [x], dy, true).grads as (tf.Tensor | null)[];
    return gradient;
  } finally {
    state.activeTape = outer;
  }
}

export const composedRules: readonly tf.GradConfig[] = differentiableCompositions.map(composedRule);
