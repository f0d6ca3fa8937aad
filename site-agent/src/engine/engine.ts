/** An engine: the same training step and forward pass, on the device that was asked for. */
import { ConsiliumError } from "@consilium/shared/errors";
import { chooseDevice } from "./devices/choose.ts";
import type { Device, Precision } from "./devices/device.ts";
import { eagerRuntime } from "./eager-runtime.ts";
import { compileInference } from "./inference.ts";
import { withLossScaling } from "./loss-scaling.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { cpuProvider } from "./providers/cpu.ts";
import { cudaProvider } from "./providers/cuda.ts";
import { webGpuProvider } from "./providers/webgpu.ts";
import type { Runtime } from "./runtime.ts";
import { openTensorFlow, TENSORFLOW_BACKEND } from "./tensorflow.ts";
import { compileTrainStep } from "./train-step.ts";
import type { Engine, EngineOptions } from "./types.ts";

export { describeProviders } from "./providers/cpu.ts";

/**
 * A GPU is tried in a process of its own before it is opened in this one.
 * @throws engine.unavailable, engine.no-half-precision
 */
export async function createEngine({
  threads,
  device = "auto",
  deviceIndex = 0,
  precision = "float32",
}: EngineOptions): Promise<Engine> {
  const choice = typeof device === "string" ? await chooseDevice(device) : device;
  if (precision === "mixed" && !choice.half) {
    throw new ConsiliumError("engine.no-half-precision", {
      detail: `(${choice.device}: ${choice.name})`,
      culprits: [choice.device],
    });
  }
  const engine = engineOn(await openRuntime(choice.device, threads, deviceIndex, precision));
  return precision === "mixed" ? withScaledLoss(engine) : engine;
}

export const withScaledLoss = (engine: Engine): Engine => ({
  ...engine,
  compileTrainStep: withLossScaling((definition, options) => engine.compileTrainStep(definition, options)),
});

async function openRuntime(
  device: Device,
  threads: number,
  deviceIndex: number,
  precision: Precision,
): Promise<Runtime> {
  switch (device) {
    case "cpu":
      return onnxRuntime(cpuProvider(threads), precision);
    case "webgpu":
      return onnxRuntime(webGpuProvider(), precision);
    case "cuda":
      return onnxRuntime(cudaProvider(deviceIndex), precision);
    case "tensorflow":
      await openTensorFlow();
      return eagerRuntime(TENSORFLOW_BACKEND);
  }
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
