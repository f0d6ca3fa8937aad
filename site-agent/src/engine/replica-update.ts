/** A replica's part of a batch: its gradient is added to the others' before all update their weights alike. */
import { ConsiliumError } from "@consilium/shared/errors";
import { applyProgram } from "./apply-program.ts";
import { cutBatch } from "./batch-parts.ts";
import { gradientProgram } from "./gradient-program.ts";
import type { Slot } from "./layout.ts";
import { joinMetricOutputs } from "./metrics.ts";
import { SCHEDULE, batchFeeds, gradientName, type Program } from "./program.ts";
import { nextName, type ResidentArrays, type Workspace } from "./runtime.ts";
import type { InputSpecs, StepOptions, TrainStepDefinition } from "./types.ts";
import { gradientNormOf, lossOf, type Update } from "./update.ts";

/**
 * Its results are those of the replica's part of the batch, with metrics under the names of outputs, to be put
 * together by `joinMetrics`.
 * @param workspace without `gradientShapes`: gradients come and go with every run
 * @throws engine.not-separable, engine.unsupported-op, engine.data-dependent, engine.dynamic-shape,
 *   engine.compile-failed
 */
export async function replicaUpdate<I extends InputSpecs>(
  workspace: Workspace<Program>,
  definition: TrainStepDefinition<I>,
  { microBatches, recompute, exchange }: Required<Omit<StepOptions, "privacy">>,
): Promise<Update<I>> {
  if (definition.separable !== true) throw new ConsiliumError("engine.not-separable");
  const program = gradientProgram(definition, { accumulate: false, recompute });
  const gradients = await workspace.prepare(program);
  const apply = await workspace.prepare(applyProgram(definition, microBatches * exchange.members));
  const total = program.trainable.map((slot): [string, Float32Array] => [
    gradientName(slot),
    new Float32Array(slot.length),
  ]);

  return {
    run: async (inputs, schedule, number) => {
      const { loss, metrics } = await exchange.together(async () => {
        const parts: ResidentArrays[] = [];
        let sum = 0;
        for (const [i, part] of cutBatch(definition.inputs, inputs, microBatches).entries()) {
          const { outputs } = await gradients.run(batchFeeds(definition.inputs, part));
          sum += lossOf(outputs, number);
          addGradient(program.trainable, outputs, exchange.own, i === 0);
          parts.push(joinMetricOutputs([outputs]));
        }
        return { loss: sum / microBatches, metrics: Object.fromEntries(joinMetricOutputs(parts)) };
      });
      exchange.addUp();
      const { gradientNorm, commit } = await exchange.together(async () => {
        let offset = 0;
        for (const [, array] of total) {
          array.set(exchange.total.subarray(offset, offset + array.length));
          offset += array.length;
        }
        const attempt = await apply.run(new Map([...total, [SCHEDULE, schedule]]));
        return { gradientNorm: gradientNormOf(attempt.outputs, number), commit: attempt.commit };
      });
      commit();
      return { loss, gradientNorm, metrics };
    },
  };
}

/** Each slot's gradient has its place in a vector of all slots. */
function addGradient(
  slots: readonly Slot[],
  outputs: ResidentArrays,
  sum: Float32Array,
  isFirst: boolean,
): void {
  let offset = 0;
  for (const slot of slots) {
    const gradient = outputs.get(nextName(gradientName(slot)));
    if (gradient === undefined) throw new RangeError(`there is no gradient of ${slot.name}`);
    if (isFirst) sum.set(gradient, offset);
    else {
      for (let i = 0; i < gradient.length; i++) {
        sum[offset + i] = (sum[offset + i] ?? NaN) + (gradient[i] ?? NaN);
      }
    }
    offset += slot.length;
  }
}
