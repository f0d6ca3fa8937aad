/** ONNX Runtime on a GPU of any vendor, through WebGPU (Vulkan, Metal or Direct3D 12 below it). */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Graph } from "../graph/ir.ts";
import { legalizeForWebGpu } from "../graph/webgpu/legalize.ts";
import { copyingGraph } from "./copying-graph.ts";
import { createSession, type SessionOptions } from "./ort-session.ts";
import { unplacedKinds } from "./placement.ts";
import type { Provider } from "./provider.ts";
import { WebGpuWorkspace } from "./webgpu-workspace.ts";

const OPTIONS: SessionOptions = {
  executionProviders: ["webgpu"],
  // The GPU computes; one thread feeds it.
  intraOpNumThreads: 1,
  // An operator that WebGPU lacks would go to the CPU, with all its operands, and nobody would know why it is slow.
  extra: { session: { disable_cpu_ep_fallback: "1" } },
};

/** The caller knows that there is an adapter: opening one that does not work can end the process. */
export function webGpuProvider(): Provider {
  return {
    name: "onnx/webgpu",
    // Its kernels add up in the type of the product.
    longestHalfSum: 1024,
    compile: async (graph) => {
      const legal = legalizeForWebGpu(graph);
      return copyingGraph(await explained(legal, () => createSession(legal, OPTIONS)), legal);
    },
    openWorkspace: (resident) =>
      new WebGpuWorkspace(resident, async (graph, locations) => {
        const legal = legalizeForWebGpu(graph);
        const options = { ...OPTIONS, preferredOutputLocation: locations };
        return explained(legal, () => createSession(legal, options));
      }),
  };
}

/** @throws engine.unsupported-op with the operators that WebGPU has no kernel for, else what `compile` throws */
async function explained<Compiled>(graph: Graph, compile: () => Promise<Compiled>): Promise<Compiled> {
  try {
    return await compile();
  } catch (error) {
    const unplaced = await unplacedKinds(graph, compiles);
    if (unplaced.size === 0) throw error;
    const nodes = [...unplaced.values()].reduce((sum, count) => sum + count, 0);
    throw new ConsiliumError("engine.unsupported-op", {
      detail: `(WebGPU lacks ${[...unplaced.keys()].join(", ")}: ${nodes} of ${graph.nodes.length} nodes)`,
      culprits: [...unplaced.keys()],
      cause: error,
    });
  }
}

async function compiles(graph: Graph): Promise<boolean> {
  try {
    await (await createSession(graph, OPTIONS)).release();
    return true;
  } catch {
    return false;
  }
}
