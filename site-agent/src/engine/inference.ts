/** A forward pass with the weights inside, on any runtime. */
import { forwardProgram } from "./forward-program.ts";
import { metricsOf } from "./metrics.ts";
import { batchFeeds, weightsName } from "./program.ts";
import type { Runtime } from "./runtime.ts";
import { assertFits, toArrays, weightShapes } from "./state.ts";
import type { Inference, InferenceDefinition, InputSpecs } from "./types.ts";

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function compileInference<I extends InputSpecs>(
  runtime: Runtime,
  definition: InferenceDefinition<I>,
): Promise<Inference<I>> {
  const program = forwardProgram(definition);
  const { layout } = program;
  const workspace = runtime.openWorkspace(weightShapes(layout));
  try {
    const forward = await workspace.prepare(program);
    return {
      run: async (inputs) => metricsOf((await forward.run(batchFeeds(definition.inputs, inputs))).outputs),
      writeWeights: async (values) => {
        assertFits(layout, values);
        await workspace.write(toArrays(layout.slots, weightsName, values));
      },
      dispose: () => workspace.dispose(),
    };
  } catch (error) {
    await workspace.dispose();
    throw error;
  }
}
