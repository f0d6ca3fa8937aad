/** The compiled engine: TF.js code traced once, run by ONNX Runtime. */
import { compileInference } from "./inference.ts";
import { cpuProvider } from "./providers/cpu.ts";
import { compileTrainStep } from "./train-step.ts";
import type { Engine, EngineOptions } from "./types.ts";

export { describeProviders } from "./providers/cpu.ts";

export function createEngine({ threads }: EngineOptions): Promise<Engine> {
  const provider = cpuProvider(threads);
  return Promise.resolve({
    name: provider.name,
    compileTrainStep: (definition) => compileTrainStep(provider, definition),
    compileInference: (definition) => compileInference(provider, definition),
  });
}
