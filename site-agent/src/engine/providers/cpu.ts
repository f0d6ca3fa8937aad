/** ONNX Runtime on the CPU. */
import * as ort from "onnxruntime-node";
import type { Graph } from "../graph/ir.ts";
import { sumRowsByProducts } from "../graph/cpu/row-sums.ts";
import { holdOrder } from "../graph/run-order.ts";
import { compileForHost } from "./host-graph.ts";
import { HostWorkspace } from "./host-workspace.ts";
import type { CompiledGraph, Provider, ProviderReport } from "./provider.ts";

export function cpuProvider(threads: number): Provider {
  const compile = (graph: Graph): Promise<CompiledGraph> =>
    compileForHost(
      holdOrder(sumRowsByProducts(graph)),
      {
        executionProviders: ["cpu"],
        intraOpNumThreads: threads,
        // A plan of all memory, on top of what the first run took without one.
        enableMemPattern: false,
        extra: {
          session: {
            // Denormals are a hundred times slower and mean nothing to a weight.
            set_denormal_as_zero: "1",
            // Several sites may share the machine; a spinning thread takes a core from the others.
            intra_op: { allow_spinning: "0" },
          },
        },
      },
      { withoutCopies: true },
    );
  return {
    name: "onnx/cpu",
    // It would cast to float32 and back.
    longestHalfSum: 0,
    compile,
    openWorkspace: (resident) => new HostWorkspace(resident, compile),
  };
}

/** For `consilium-site doctor`. */
export function describeProviders(): ProviderReport {
  const backends = ort.listSupportedBackends().map(({ name, bundled }) => ({ name, bundled }));
  return { runtime: ort.env.versions.node ?? "unknown", backends };
}
