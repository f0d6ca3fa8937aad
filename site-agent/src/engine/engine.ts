/** An engine: the same training step and forward pass, on the runtime that it is given. */
import { eagerRuntime } from "./eager-runtime.ts";
import { compileInference } from "./inference.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { cpuProvider } from "./providers/cpu.ts";
import type { Runtime } from "./runtime.ts";
import { compileTrainStep } from "./train-step.ts";
import type { Engine, EngineOptions } from "./types.ts";

export { describeProviders } from "./providers/cpu.ts";

export function createEngine({ threads }: EngineOptions): Promise<Engine> {
  return Promise.resolve(engineOn(onnxRuntime(cpuProvider(threads))));
}

/**
 * TF.js itself, for comparison. The caller has imported the backend's package.
 * @param backend TF.js' name, for example `cpu` or `wasm`
 */
export const createReferenceEngine = (backend: string): Engine => engineOn(eagerRuntime(backend));

export const engineOn = (runtime: Runtime): Engine => ({
  name: runtime.name,
  compileTrainStep: (definition, options) => compileTrainStep(runtime, definition, options),
  compileInference: (definition) => compileInference(runtime, definition),
});
