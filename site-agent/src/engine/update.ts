/** How a batch becomes one update of the resident weights and moments. */
import { ConsiliumError } from "@consilium/shared/errors";
import { GRADIENT_NORM, LOSS } from "./program.ts";
import type { ResidentArrays } from "./runtime.ts";
import type { InputArrays, InputSpecs, StepResult } from "./types.ts";

export interface Update<I extends InputSpecs> {
  /**
   * Leaves weights and moments as they were if it fails.
   * @param schedule of `scheduleValues`
   * @param number of this update, from 1, for messages
   * @throws engine.run-failed, training.diverged
   */
  run(inputs: InputArrays<I>, schedule: Float32Array, number: number): Promise<StepResult>;
}

/** @throws training.diverged if the loss is no finite number */
export const lossOf = (outputs: ResidentArrays, number: number): number => finite(outputs, LOSS, number);

/** @throws training.diverged if it is no finite number */
export const gradientNormOf = (outputs: ResidentArrays, number: number): number =>
  finite(outputs, GRADIENT_NORM, number);

function finite(outputs: ResidentArrays, name: string, number: number): number {
  const value = outputs.get(name)?.[0] ?? NaN;
  if (Number.isFinite(value)) return value;
  throw new ConsiliumError("training.diverged", { detail: `(update ${number})`, culprits: [name] });
}
