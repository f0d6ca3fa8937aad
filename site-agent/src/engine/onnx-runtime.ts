/** TF.js code traced once into a graph, which a provider of ONNX Runtime runs. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Precision } from "./devices/device.ts";
import type { Graph } from "./graph/ir.ts";
import { multiplyInHalf } from "./graph/passes/half-precision.ts";
import { optimize } from "./graph/passes/optimize.ts";
import type { Program } from "./program.ts";
import type { Provider } from "./providers/provider.ts";
import type { Runtime } from "./runtime.ts";
import { stepProgram } from "./step-program.ts";
import { trace } from "./tracer/trace.ts";
import type { InputSpecs, StepOptions, TrainStepDefinition } from "./types.ts";

/** @throws engine.no-half-precision where the provider does not multiply in float16 */
export function onnxRuntime(provider: Provider, precision: Precision = "float32"): Runtime {
  const { name, longestHalfSum } = provider;
  const isMixed = precision === "mixed";
  if (isMixed && longestHalfSum === 0)
    throw new ConsiliumError("engine.no-half-precision", { detail: `(${name})` });
  const graphOf = (program: Program): Graph => {
    const graph = traceProgram(program);
    return isMixed ? multiplyInHalf(graph, longestHalfSum) : graph;
  };
  return {
    name: isMixed ? `${name}, mixed precision` : name,
    openWorkspace: (resident) => {
      const workspace = provider.openWorkspace(resident);
      return {
        prepare: async (program, options) => workspace.prepare(graphOf(program), options),
        read: (names) => workspace.read(names),
        write: (arrays) => workspace.write(arrays),
        dispose: () => workspace.dispose(),
      };
    },
  };
}

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape */
const traceProgram = ({ inputs, body }: Program): Graph => optimize(trace(inputs, body));

/** The graph of a training step as a provider gets it, for benchmarks. */
export const traceTrainStep = <I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  options: Pick<StepOptions, "recompute"> = {},
): Graph => optimize(traceWithoutPasses(definition, options));

/** The same before any pass. */
export function traceWithoutPasses<I extends InputSpecs>(
  definition: TrainStepDefinition<I>,
  options: Pick<StepOptions, "recompute"> = {},
): Graph {
  const { inputs, body } = stepProgram(definition, options);
  return trace(inputs, body);
}
