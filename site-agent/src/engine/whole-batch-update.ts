/** A batch at once: forward, backward, clipping and AdamW in one program. */
import { metricsOf } from "./metrics.ts";
import { SCHEDULE, batchFeeds, type Program } from "./program.ts";
import type { Workspace } from "./runtime.ts";
import { stepProgram } from "./step-program.ts";
import type { InputSpecs, StepOptions, TrainStepDefinition } from "./types.ts";
import { gradientNormOf, lossOf, type Update } from "./update.ts";

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function wholeBatchUpdate<I extends InputSpecs>(
  workspace: Workspace<Program>,
  definition: TrainStepDefinition<I>,
  options: Pick<StepOptions, "recompute">,
): Promise<Update<I>> {
  const step = await workspace.prepare(stepProgram(definition, options), { overwrite: true });
  return {
    run: async (inputs, schedule, number) => {
      const feeds = batchFeeds(definition.inputs, inputs).set(SCHEDULE, schedule);
      const { outputs, commit } = await step.run(feeds);
      const loss = lossOf(outputs, number);
      const gradientNorm = gradientNormOf(outputs, number);
      commit();
      return { loss, gradientNorm, metrics: metricsOf(outputs) };
    },
  };
}
