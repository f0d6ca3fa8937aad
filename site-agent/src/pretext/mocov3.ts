/**
 * MoCo v3 (Chen, Xie and He 2021): a view shall be told among the batch by what a slow teacher makes of the other view.
 *
 * The teacher is a moving average of the trained encoder and projector, inside the compiled step. It begins each round as a
 * copy of the global model and never leaves the site: nobody averages teachers, and no upload grows by one.
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
import type { PretextParameter, PretextTask } from "./types.ts";
import { apart, seeTwoViews, type TwoViewInputs } from "./views.ts";

export type MocoSettings = Extract<Plan["pretext"], { readonly task: "mocov3" }>;

const TEACHER = "teacher.";
const PATCH_PROJECTION = "patch_embed.proj";

export function mocov3Task(
  plan: Plan,
  settings: MocoSettings,
  encoder: VitConfig,
): PretextTask<TwoViewInputs> {
  const taught = taughtParameters(encoder, settings);
  const parameters = [
    ...allShared([...taught, ...predictorParameters(settings)]),
    ...taught.map((own) => teacherParameter(own, settings.momentum)),
  ];
  return comparingTask(plan, encoder, settings, parameters, (weights, inputs) => {
    const views = seeTwoViews(inputs);
    const queries = perceptron(weights, "predictor", project(weights, views, encoder));
    const keys = project(teacherOf(weights), views, encoder);
    return { loss: contrast(queries, keys, settings.temperature) };
  });
}

/** Encoder and projector, which the teacher has as well. */
function taughtParameters(
  encoder: VitConfig,
  { projector, freezePatchProjection }: MocoSettings,
): readonly Parameter[] {
  const vit = vitParameters(encoder).map((own) =>
    freezePatchProjection && own.name.startsWith(PATCH_PROJECTION) ? { ...own, learningRateScale: 0 } : own,
  );
  return [...vit, ...perceptronParameters("projector", { inputs: encoder.width, ...projector })];
}

const predictorParameters = ({ projector: { hidden, width } }: MocoSettings): readonly Parameter[] =>
  perceptronParameters("predictor", { inputs: width, hidden, width });

const teacherParameter = ({ name, shape }: Parameter, momentum: number): PretextParameter => ({
  name: TEACHER + name,
  shape,
  decay: false,
  learningRateScale: 0,
  follows: { parameter: name, momentum },
  sharing: "rebuilt",
});

/** The teacher's weights under the names that the model knows. */
const teacherOf = (weights: ParameterTensors): ParameterTensors =>
  new Map(
    [...weights]
      .filter(([name]) => name.startsWith(TEACHER))
      .map(([name, tensor]) => [name.slice(TEACHER.length), tensor]),
  );

const project = (weights: ParameterTensors, views: Tensor, encoder: VitConfig): Tensor =>
  perceptron(weights, "projector", pooled(encode(weights, views, encoder)));

/**
 * The symmetric InfoNCE of the paper's algorithm 1, 2 T (ctr(q1, k2) + ctr(q2, k1)).
 * @param queries [2 N, d], first views first; keys the same of the teacher
 */
export function contrast(queries: Tensor, keys: Tensor, temperature: number): Tensor {
  const [q1, q2] = apart(unitRows(queries));
  const [k1, k2] = apart(unitRows(keys));
  return tf.mul(
    2 * temperature,
    tf.add(crossEntropy(q1, k2, temperature), crossEntropy(q2, k1, temperature)),
  );
}

/** Of telling each query's own key among all, [N, d] twice. */
function crossEntropy(q: Tensor, k: Tensor, temperature: number): Tensor {
  const [count = 0] = q.shape;
  const scores = tf.div(tf.matMul(q, k, false, true), temperature); // [N, N]
  const own = tf.mul(tf.logSoftmax(scores), identity(count));
  return tf.neg(tf.div(tf.sum(own), count));
}
