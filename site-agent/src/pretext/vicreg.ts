/**
 * VICReg (Bardes, Ponce and LeCun 2022): two views shall agree (invariance), each number shall differ from image to image
 * (variance), and no two numbers shall say the same (covariance). No negatives, no teacher.
 */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "../engine/tf.ts";
import type { VitConfig } from "../model/sizes.ts";
import { encode, vitParameters } from "../model/vit.ts";
import { comparingTask } from "./comparing.ts";
import { identity, perceptron, perceptronParameters, pooled } from "./projector.ts";
import { allShared } from "./sharing.ts";
import type { PretextTask } from "./types.ts";
import { apart, seeTwoViews, type TwoViewInputs } from "./views.ts";

export type VicregSettings = Extract<Plan["pretext"], { readonly task: "vicreg" }>;

/** Under the root, so that its gradient stays finite where nothing varies (appendix A of the paper). */
const VARIANCE_FLOOR = 1e-4;

export function vicregTask(
  plan: Plan,
  settings: VicregSettings,
  encoder: VitConfig,
): PretextTask<TwoViewInputs> {
  const parameters = allShared([
    ...vitParameters(encoder),
    ...perceptronParameters("projector", { inputs: encoder.width, ...settings.projector }),
  ]);
  return comparingTask(plan, encoder, settings, parameters, (weights, inputs) => {
    const tokens = encode(weights, seeTwoViews(inputs), encoder);
    return { loss: vicregLoss(perceptron(weights, "projector", pooled(tokens)), settings) };
  });
}

/**
 * Equation 6 of the paper, with the sums over both views halved as in its code.
 * @param projected [2 N, d], first views first
 */
export function vicregLoss(
  projected: Tensor,
  { invariance, variance, covariance }: Pick<VicregSettings, "invariance" | "variance" | "covariance">,
): Tensor {
  const [first, second] = apart(projected);
  const agreement = tf.mean(tf.square(tf.sub(first, second)));
  const [one, other] = [spread(first), spread(second)];
  return tf.addN([
    tf.mul(invariance, agreement),
    tf.mul(variance / 2, tf.add(one.lacking, other.lacking)),
    tf.mul(covariance, tf.add(one.shared, other.shared)),
  ]);
}

/** Of one view, [N, d]: how far its standard deviations fall short of 1, and what its numbers have in common. */
function spread(z: Tensor): { readonly lacking: Tensor; readonly shared: Tensor } {
  const [count = 0, width = 0] = z.shape;
  const centred = tf.sub(z, tf.mean(z, 0, true));
  const covariance = tf.div(tf.matMul(centred, centred, true, false), count - 1); // [d, d]
  const variances = tf.div(tf.sum(tf.square(centred), 0), count - 1); // [d]
  const lacking = tf.mean(tf.relu(tf.sub(1, tf.sqrt(tf.add(variances, VARIANCE_FLOOR)))));
  const offDiagonal = tf.mul(covariance, tf.sub(1, identity(width)));
  return { lacking, shared: tf.div(tf.sum(tf.square(offDiagonal)), width) };
}
