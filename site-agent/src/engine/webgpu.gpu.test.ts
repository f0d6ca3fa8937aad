/** The engine on WebGPU. On a machine without a GPU it runs on a software driver, where there is one. */
import { describe } from "vitest";
import { engineOn } from "./engine.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { webGpuProvider } from "./providers/webgpu.ts";
import { describeTrainStep } from "./testing/train-step-suite.ts";

const { VK_DRIVER_FILES, CONSILIUM_TEST_GPU } = process.env;
const hasDriver = VK_DRIVER_FILES !== undefined || CONSILIUM_TEST_GPU === "own";

describe.skipIf(!hasDriver)("needs a Vulkan driver, such as that of Debian's chromium package", () => {
  const engine = engineOn(onnxRuntime(webGpuProvider()));
  describeTrainStep("onnx/webgpu", () => engine);
});
