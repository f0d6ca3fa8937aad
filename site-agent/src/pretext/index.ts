/** The plan's pretext task. */
import type { Plan } from "@consilium/shared/plan";
import type { InputSpecs, InputTensors } from "../engine/types.ts";
import { maeTask } from "./mae.ts";
import type { PretextTask } from "./types.ts";

const TASKS: Readonly<Record<Plan["pretext"]["task"], (plan: Plan) => PretextTask>> = {
  mae: (plan) => withoutInputNames(maeTask(plan)),
};

/** @throws plan.invalid if the model cannot be built as the plan asks */
export function pretextTask(plan: Plan): PretextTask {
  return TASKS[plan.pretext.task](plan);
}

/** Training handles all tasks alike; a task's `loss` only ever gets what its own `prepare` and `inputs` name. */
function withoutInputNames<I extends InputSpecs>(task: PretextTask<I>): PretextTask {
  return {
    name: task.name,
    parameters: task.parameters,
    inputs: (examples) => task.inputs(examples),
    separable: task.separable,
    loss: (parameters, inputs) => task.loss(parameters, inputs as InputTensors<I>),
    initialWeights: (seed) => task.initialWeights(seed),
    prepare: (images, random) => task.prepare(images, random),
  };
}
