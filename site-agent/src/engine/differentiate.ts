/** Loss, metrics and gradients of a definition on one batch. */
import type { Slot } from "./layout.ts";
import { named, type NamedTensors } from "./program.ts";
import { withRecomputation } from "./recompute.ts";
import * as tf from "./tf.ts";
import type { InputSpecs, InputTensors, TrainStepDefinition } from "./types.ts";

export interface Differentiated {
  readonly loss: tf.Tensor;
  readonly metrics: Readonly<Record<string, tf.Tensor>>;
  /** In the shape of the slot. A parameter that the loss does not use has gradient 0. */
  readonly gradients: ReadonlyMap<Slot, tf.Tensor>;
}

export function differentiate<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  parameters: NamedTensors,
  batch: InputTensors<I>,
  trainable: readonly Slot[],
  recompute: boolean,
): Differentiated {
  const members = trainable.flatMap((slot) => slot.members.map((member) => member.parameter));
  // TF.js disposes of everything that the differentiated function does not return; metrics have to outlive it.
  const kept: Record<string, tf.Tensor> = {};
  const forward = (): tf.Tensor => {
    const { loss, metrics = {} } = definition.loss(parameters, batch);
    for (const [name, metric] of Object.entries(metrics)) kept[name] = tf.keep(tf.clone(metric));
    return tf.reshape(loss, []);
  };
  const sources = members.map((parameter) => named(parameters, parameter.name));
  const { value, grads } = withRecomputation(recompute, () => differentiated(forward, sources));
  const metrics = Object.fromEntries(
    Object.entries(kept).map(([name, metric]) => {
      const copy = tf.clone(metric);
      metric.dispose();
      return [name, copy];
    }),
  );

  const byParameter = new Map(
    members.flatMap((parameter, i): [string, tf.Tensor][] => {
      const gradient = grads[i];
      return gradient === undefined ? [] : [[parameter.name, gradient]];
    }),
  );
  return { loss: value, metrics, gradients: intoSlots(trainable, byParameter) };
}

/** @param byParameter a parameter that is not in it has gradient 0 */
export function intoSlots(
  trainable: readonly Slot[],
  byParameter: NamedTensors,
): Differentiated["gradients"] {
  return new Map(
    trainable.map((slot) => {
      const parts = slot.members.map(({ parameter, length }) => {
        const gradient = byParameter.get(parameter.name) ?? tf.zeros([...parameter.shape]);
        return slot.members.length === 1 ? gradient : tf.reshape(gradient, [length]);
      });
      const [only] = parts;
      return [slot, parts.length === 1 && only !== undefined ? only : tf.concat(parts)];
    }),
  );
}

function differentiated(
  forward: () => tf.Tensor,
  sources: tf.Tensor[],
): { value: tf.Tensor; grads: readonly (tf.Tensor | undefined)[] } {
  if (sources.length === 0) return { value: tf.tidy(forward), grads: [] };
  return tf.engine().gradients(forward, sources, undefined, true);
}
