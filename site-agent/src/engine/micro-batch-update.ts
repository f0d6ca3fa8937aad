/** A batch in equal parts, one after the other: gradients add up before the weights are updated once. */
import { ConsiliumError } from "@consilium/shared/errors";
import { applyProgram } from "./apply-program.ts";
import { cutBatch } from "./batch-parts.ts";
import { gradientProgram } from "./gradient-program.ts";
import { joinMetrics } from "./metrics.ts";
import { KEPT_GRADIENT, SCHEDULE, batchFeeds, type Program } from "./program.ts";
import type { ResidentArrays, Workspace } from "./runtime.ts";
import { zeroGradients } from "./state.ts";
import type { InputSpecs, StepOptions, TrainStepDefinition } from "./types.ts";
import { gradientNormOf, lossOf, type Update } from "./update.ts";

/**
 * @param workspace with `gradientShapes` among its arrays
 * @throws engine.not-separable, engine.unsupported-op, engine.data-dependent, engine.dynamic-shape,
 *   engine.compile-failed
 */
export async function microBatchUpdate<I extends InputSpecs>(
  workspace: Workspace<Program>,
  definition: TrainStepDefinition<I>,
  { microBatches, recompute }: Required<Pick<StepOptions, "microBatches" | "recompute">>,
): Promise<Update<I>> {
  if (definition.separable !== true) throw new ConsiliumError("engine.not-separable");
  const program = gradientProgram(definition, { accumulate: true, recompute });
  const gradients = await workspace.prepare(program, { overwrite: true });
  const apply = await workspace.prepare(applyProgram(definition, microBatches), { overwrite: true });

  return {
    run: async (inputs, schedule, number) => {
      const parts: ResidentArrays[] = [];
      let loss = 0;
      try {
        for (const [i, part] of cutBatch(definition.inputs, inputs, microBatches).entries()) {
          const kept = Float32Array.of(i === 0 ? 0 : 1);
          const { outputs, commit } = await gradients.run(
            batchFeeds(definition.inputs, part).set(KEPT_GRADIENT, kept),
          );
          loss += lossOf(outputs, number) / microBatches;
          // The next part overwrites the outputs.
          parts.push(new Map([...outputs].map(([name, values]) => [name, values.slice()])));
          commit();
        }
        const { outputs, commit } = await apply.run(new Map([[SCHEDULE, schedule]]));
        const gradientNorm = gradientNormOf(outputs, number);
        commit();
        return { loss, gradientNorm, metrics: joinMetrics(parts) };
      } catch (error) {
        // 0 times what is no number would spoil the next update.
        await workspace.write(zeroGradients(program));
        throw error;
      }
    },
  };
}
