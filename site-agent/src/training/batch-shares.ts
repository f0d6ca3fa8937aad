/** Whether the plan's batches can be cut into equal parts, for micro-batches and several devices. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";

/** @throws engine.not-separable */
export function assertDivides({ training }: Pick<Plan, "training">, parts: number): void {
  if (training.batchSize % parts === 0) return;
  throw new ConsiliumError("engine.not-separable", {
    detail: `(${training.batchSize} images in ${parts} parts)`,
  });
}
