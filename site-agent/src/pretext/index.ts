/** The plan's task. */
import { isFrozen } from "@consilium/shared/frozen";
import type { Plan } from "@consilium/shared/plan";
import type { InputSpecs, InputTensors } from "../engine/types.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { classifyTask } from "./classify.ts";
import { withLowRank } from "./low-rank.ts";
import { findingsTask } from "./findings.ts";
import { maeTask } from "./mae.ts";
import { masksTask } from "./masks.ts";
import { mocov3Task } from "./mocov3.ts";
import { restorationTask } from "./restoration.ts";
import { simclrTask } from "./simclr.ts";
import type { PretextTask } from "./types.ts";
import { vicregTask } from "./vicreg.ts";

/**
 * @param encoder only tests give another than the plan's
 * @throws plan.invalid if the model cannot be built as the plan asks
 */
export function pretextTask(plan: Plan, encoder: VitConfig = vitConfig(plan.model)): PretextTask {
  const task = anyTask(plan, encoder);
  const { frozenBlocks } = plan.training;
  const parameters = task.parameters.map((own) =>
    isFrozen(own.name, frozenBlocks) ? { ...own, learningRateScale: 0 } : own,
  );
  return withLowRank({ ...task, parameters }, plan);
}

function anyTask(plan: Plan, encoder: VitConfig): PretextTask {
  const { pretext } = plan;
  switch (pretext.task) {
    case "mae":
      return withoutInputNames(maeTask(plan, encoder));
    case "simclr":
      return withoutInputNames(simclrTask(plan, pretext, encoder));
    case "mocov3":
      return withoutInputNames(mocov3Task(plan, pretext, encoder));
    case "vicreg":
      return withoutInputNames(vicregTask(plan, pretext, encoder));
    case "restoration":
      return withoutInputNames(restorationTask(plan, pretext, encoder));
    case "classify":
      return withoutInputNames(classifyTask(plan, pretext, encoder));
    case "findings":
      return withoutInputNames(findingsTask(plan, pretext, encoder));
    case "masks":
      return withoutInputNames(masksTask(plan, pretext, encoder));
  }
}

/** Training handles all tasks alike; a task's `loss` only ever gets what its own `prepare` and `inputs` name. */
function withoutInputNames<I extends InputSpecs>(task: PretextTask<I>): PretextTask {
  const { judge } = task;
  return {
    name: task.name,
    parameters: task.parameters,
    inputs: (examples) => task.inputs(examples),
    separable: task.separable,
    loss: (parameters, inputs) => task.loss(parameters, inputs as InputTensors<I>),
    ...(judge && { judge: (parameters, inputs) => judge(parameters, inputs as InputTensors<I>) }),
    initialWeights: (seed) => task.initialWeights(seed),
    prepare: (images, random, answers) => task.prepare(images, random, answers),
  };
}
