/** A whole training step in one program: forward, backward, clipping and AdamW. */
import { differentiate } from "./differentiate.ts";
import { followed } from "./followed.ts";
import { layOut, trainableSlots, type Slot } from "./layout.ts";
import { metricOutputs } from "./metrics.ts";
import { gradientFactor, globalNorm, learningRateScales, readSchedule, scheduleLength } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  LOSS,
  SCHEDULE,
  batchInputs,
  batchTensors,
  firstName,
  named,
  parameterTensors,
  secondName,
  slotInputs,
  vectorInput,
  weightsName,
  type Program,
} from "./program.ts";
import { anchorInputs, withProximalTerm } from "./proximal.ts";
import type { InputSpecs, StepOptions, TrainStepDefinition } from "./types.ts";
import { updatedSlots } from "./updated-slots.ts";

/** A program that updates weights and moments. */
export interface StepProgram extends Program {
  readonly trainable: readonly Slot[];
  /** Distinct learning-rate scales, in the order of the schedule. */
  readonly scales: readonly number[];
}

export function stepProgram<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  { recompute = false }: Pick<StepOptions, "recompute"> = {},
): StepProgram {
  const { optimizer } = definition;
  const layout = layOut(definition.parameters);
  const trainable = trainableSlots(layout);
  const scales = learningRateScales(trainable);
  return {
    layout,
    trainable,
    scales,
    inputs: {
      ...slotInputs(layout.slots, weightsName),
      ...slotInputs(trainable, firstName),
      ...slotInputs(trainable, secondName),
      ...anchorInputs(trainable, optimizer),
      ...vectorInput(SCHEDULE, scheduleLength(scales)),
      ...batchInputs(definition.inputs),
    },
    body: (tensors) => {
      const batch = batchTensors(definition.inputs, tensors);
      const parameters = parameterTensors(definition.parameters, layout, tensors);
      const { loss, metrics, ...own } = differentiate(definition, parameters, batch, trainable, recompute);
      const gradients = withProximalTerm(own.gradients, optimizer, tensors);
      const norm = globalNorm([...gradients.values()]);
      const factor = gradientFactor(norm, optimizer);
      const schedule = readSchedule(named(tensors, SCHEDULE), scales);
      const checks = [loss, norm];
      const updated = updatedSlots({ gradients, factor, checks }, schedule, optimizer, tensors);
      return {
        [LOSS]: loss,
        [GRADIENT_NORM]: norm,
        ...updated,
        ...followed(layout, updated, checks, tensors),
        ...metricOutputs(metrics),
      };
    },
  };
}
