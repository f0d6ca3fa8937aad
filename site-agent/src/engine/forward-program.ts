/** A forward pass. */
import { layOut } from "./layout.ts";
import { metricOutputs } from "./metrics.ts";
import {
  batchInputs,
  batchTensors,
  parameterTensors,
  slotInputs,
  weightsName,
  type Program,
} from "./program.ts";
import type { InferenceDefinition, InputSpecs } from "./types.ts";

export function forwardProgram<I extends InputSpecs>(definition: InferenceDefinition<I>): Program {
  const layout = layOut(definition.parameters);
  return {
    layout,
    inputs: { ...slotInputs(layout.slots, weightsName), ...batchInputs(definition.inputs) },
    body: (tensors) =>
      metricOutputs(
        definition.forward(
          parameterTensors(definition.parameters, layout, tensors),
          batchTensors(definition.inputs, tensors),
        ),
      ),
  };
}
