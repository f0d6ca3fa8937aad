/** A compiled graph that computes elsewhere and copies its results into the process' own memory. */
import type * as ort from "onnxruntime-node";
import type { Graph } from "../graph/ir.ts";
import { required, runSession, toTensor } from "./ort-session.ts";
import type { CompiledGraph } from "./provider.ts";

/** @param session with the graph's inputs and outputs, all of which it leaves on the CPU */
export const copyingGraph = (session: ort.InferenceSession, graph: Graph): CompiledGraph => ({
  run: async (inputs, outputs) => {
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, value }) => [name, toTensor(name, required(inputs, name), value.shape)]),
    );
    const results = new Map(Object.entries(await runSession(() => session.run(feeds))));
    for (const { name } of graph.outputs) {
      required(outputs, name).set(required(results, name).data as Float32Array);
    }
  },
  dispose: () => session.release(),
});
