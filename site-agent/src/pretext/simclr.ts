/**
 * SimCLR (Chen et al. 2020): two views of an image shall be more alike than those of any other image of the batch. The
 * others stay on the site: no feature leaves it.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "../engine/tf.ts";
import type { Parameter, ParameterTensors } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { encode, vitParameters } from "../model/vit.ts";
import { comparingTask } from "./comparing.ts";
import { identity, perceptron, perceptronParameters, pooled, unitRows } from "./projector.ts";
import { allShared } from "./sharing.ts";
import type { PretextTask } from "./types.ts";
import { apart, seeTwoViews, type TwoViewInputs } from "./views.ts";

export type SimclrSettings = Extract<Plan["pretext"], { readonly task: "simclr" }>;

export function simclrTask(
  plan: Plan,
  settings: SimclrSettings,
  encoder: VitConfig,
): PretextTask<TwoViewInputs> {
  const parameters = allShared(simclrParameters(encoder, settings));
  return comparingTask(plan, encoder, settings, parameters, (weights, inputs) => ({
    loss: ntXent(project(weights, seeTwoViews(inputs), encoder), settings.temperature),
  }));
}

const simclrParameters = (encoder: VitConfig, { projector }: SimclrSettings): readonly Parameter[] => [
  ...vitParameters(encoder),
  ...perceptronParameters("projector", { inputs: encoder.width, ...projector }),
];

/** [2 N, S, S, channels] -> [2 N, d] */
const project = (weights: ParameterTensors, views: Tensor, encoder: VitConfig): Tensor =>
  perceptron(weights, "projector", pooled(encode(weights, views, encoder)));

/**
 * The normalised temperature-scaled cross entropy (Chen et al. 2020, equation 1), over both views of every image.
 * @param projected [2 N, d], first views first
 */
export function ntXent(projected: Tensor, temperature: number): Tensor {
  const [count = 0] = projected.shape;
  const z = unitRows(projected);
  const [first, second] = apart(z);
  const others = tf.sub(1, identity(count)); // [2 N, 2 N]
  // No similarity exceeds 1, so that less by 1 nothing overflows.
  const similarity = tf.div(tf.sub(tf.matMul(z, z, false, true), 1), temperature);
  const spread = tf.log(tf.sum(tf.mul(tf.exp(similarity), others), 1)); // [2 N]
  const alike = tf.div(tf.sub(tf.sum(tf.mul(first, second), 1), 1), temperature); // [N]
  return tf.sub(tf.mean(spread), tf.mean(alike));
}
