/**
 * ONNX Runtime on an NVIDIA GPU through CUDA. Its files are not in the npm package; see docs/engine.md.
 * Not run on hardware yet.
 *
 * Weights and moments live in host memory and travel with every step: ONNX Runtime's Node.js binding (1.30) can bind
 * buffers of its WebGPU provider only, so that outputs of CUDA always come back as host arrays.
 */
import type { Graph } from "../graph/ir.ts";
import { compileForHost } from "./host-graph.ts";
import { HostWorkspace } from "./host-workspace.ts";
import type { CompiledGraph, Provider } from "./provider.ts";

/** @param deviceIndex as `nvidia-smi` counts, from 0 */
export function cudaProvider(deviceIndex = 0): Provider {
  const compile = (graph: Graph): Promise<CompiledGraph> =>
    compileForHost(graph, {
      executionProviders: [{ name: "cuda", deviceId: deviceIndex }],
      intraOpNumThreads: 1,
    });
  return {
    name: "onnx/cuda",
    // Products of float16 are added up in float32.
    longestHalfSum: Infinity,
    compile,
    openWorkspace: (resident) => new HostWorkspace(resident, compile),
  };
}
