/** A batch of any number of parts whose examples are clipped one by one; noise is added once, before the update. */
import { ConsiliumError } from "@consilium/shared/errors";
import { applyProgram } from "./apply-program.ts";
import { cutBatch } from "./batch-parts.ts";
import { clippedGradientProgram } from "./clipped-gradient-program.ts";
import { joinMetrics } from "./metrics.ts";
import { EXAMPLE_WEIGHT, KEPT_GRADIENT, SCHEDULE, batchFeeds, noiseName, type Program } from "./program.ts";
import type { ResidentArrays, Workspace } from "./runtime.ts";
import { zeroGradients } from "./state.ts";
import type { InputArrays, InputSpecs, PrivateStepOptions, TrainStepDefinition } from "./types.ts";
import { gradientNormOf, lossOf, type Update } from "./update.ts";

/**
 * `loss` of its results is the mean over the examples that count, of each part as a whole; over all where none counts.
 * @param workspace with `gradientShapes` among its arrays
 * @throws engine.not-separable, privacy.not-per-example, engine.unsupported-op, engine.data-dependent,
 *   engine.dynamic-shape, engine.compile-failed
 */
export async function privateUpdate<I extends InputSpecs>(
  workspace: Workspace<Program>,
  definition: TrainStepDefinition<I>,
  privacy: PrivateStepOptions,
): Promise<Update<I>> {
  if (definition.separable !== true) throw new ConsiliumError("engine.not-separable");
  const { examples, noiseStdDev, expectedExamples, drawNoise } = privacy;
  const program = clippedGradientProgram(definition, privacy);
  const gradients = await workspace.prepare(program, { overwrite: true });
  const apply = await workspace.prepare(applyProgram(definition, expectedExamples, { noise: true }), {
    overwrite: true,
  });
  const specs: InputSpecs = {
    ...definition.inputs,
    [EXAMPLE_WEIGHT]: { shape: [examples], dtype: "float32" },
  };
  const noise = program.trainable.map((slot): [string, Float32Array] => [
    noiseName(slot),
    new Float32Array(slot.length),
  ]);

  return {
    run: async (inputs, schedule, number) => {
      const count = wholeParts(countsOf(inputs).length, examples);
      const parts: ResidentArrays[] = [];
      const losses: Weighted[] = [];
      try {
        for (const [i, part] of cutBatch(specs, inputs, count).entries()) {
          const kept = Float32Array.of(i === 0 ? 0 : 1);
          const { outputs, commit } = await gradients.run(batchFeeds(specs, part).set(KEPT_GRADIENT, kept));
          losses.push({ value: lossOf(outputs, number), weight: sum(countsOf(part)) });
          // The next part overwrites the outputs.
          parts.push(new Map([...outputs].map(([name, values]) => [name, values.slice()])));
          commit();
        }
        for (const [, values] of noise) drawNoise(values, noiseStdDev);
        const { outputs, commit } = await apply.run(new Map([...noise, [SCHEDULE, schedule]]));
        const gradientNorm = gradientNormOf(outputs, number);
        commit();
        return { loss: weightedMean(losses), gradientNorm, metrics: joinMetrics(parts) };
      } catch (error) {
        // 0 times what is no number would spoil the next update.
        await workspace.write(zeroGradients(program));
        throw error;
      } finally {
        for (const [, values] of noise) values.fill(0);
      }
    },
  };
}

const countsOf = (inputs: InputArrays<InputSpecs>): ArrayLike<number> => inputs[EXAMPLE_WEIGHT] ?? [];

const sum = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((total, value) => total + value, 0);

/** @throws engine.run-failed unless there is at least one, and no part of one */
function wholeParts(length: number, examples: number): number {
  const count = length / examples;
  if (Number.isInteger(count) && count > 0) return count;
  throw new ConsiliumError("engine.run-failed", {
    detail: `(${length} examples in parts of ${examples})`,
    culprits: [EXAMPLE_WEIGHT],
  });
}

interface Weighted {
  readonly value: number;
  readonly weight: number;
}

function weightedMean(values: readonly Weighted[]): number {
  const total = values.reduce((all, { weight }) => all + weight, 0);
  if (total === 0) return values.reduce((all, { value }) => all + value, 0) / values.length;
  return values.reduce((all, { value, weight }) => all + value * weight, 0) / total;
}
